// Speaks JSON lines on standard input and output: the project's own TypeScript language service, with files in memory.
//
// {"op":"open","root":"/abs","dir":"app","configs":["tsconfig.json"]}  finds TypeScript and the projects
// {"op":"judge","files":{"a.ts":"text"}}                               diagnostics with exactly these files changed
// {"op":"fixes"}                                                       what could be tried for the last diagnostics
//
// Every offset in an answer counts UTF-8 bytes.
"use strict";
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");
const readline = require("readline");

const MOST_DIAGNOSTICS = 200;
const MOST_FIXED = 40;
const MOST_NAMES = 3000;
let ts, root, services = [], overlay = new Map(), version = 0, last = [];

// Fixes that silence, invent or rebuild.
const REFUSED = new Set(["disableJsDiagnostics", "fixMissingMember", "fixMissingFunctionDeclaration", "fixMissingProperties",
  "fixMissingAttributes", "addMissingDeclareProperty", "fixEnableJsxFlag", "fixEnableExperimentalDecorators", "enableExperimentalDecorators",
  "fixModuleOption", "fixTargetOption", "installTypesPackage", "fixCannotFindModule", "addMissingConst", "fixOverrideModifier0",
  "fixClassDoesntImplementInheritedAbstractMember", "fixClassIncorrectlyImplementsInterface", "returnValueCorrect0"]);
const LAST = new Set(["inferFromUsage", "fixUnreachableCode", "deleteUnmatchedParameter", "unusedIdentifier", "strictClassInitialization",
  "addNonNullAssertion", "addOptionalPropertyUndefined", "fixAddVoidToPromise"]);

function open(request) {
  root = request.root;
  const from = path.join(root, request.dir || "", "package.json");
  let found = null;
  for (const base of [from, ...request.configs.map((config) => path.join(root, config))]) {
    try { found = createRequire(base).resolve("typescript"); break; } catch (_) { /* the next place */ }
  }
  if (!found) return { error: "the project has no `typescript` in its node_modules" };
  ts = require(found);
  if (!ts.createLanguageService) return { error: `typescript ${ts.version} has no language service to load` };
  const seen = new Set();
  for (const config of request.configs) load(path.join(root, config), seen, 0);
  if (!services.length) return { error: "no tsconfig.json with files was found" };
  return { version: ts.version, projects: services.map((service) => relative(service.config)) };
}

function load(config, seen, depth) {
  if (seen.has(config) || depth > 4 || services.length >= 6 || !fs.existsSync(config)) return;
  seen.add(config);
  const read = ts.readConfigFile(config, ts.sys.readFile);
  if (read.error || !read.config) return;
  const parsed = ts.parseJsonConfigFileContent(read.config, ts.sys, path.dirname(config), undefined, config);
  if (parsed.fileNames.length) services.push(create(config, parsed));
  for (const reference of parsed.projectReferences || []) load(ts.resolveProjectReferencePath(reference), seen, depth + 1);
}

function create(config, parsed) {
  const roots = new Set(parsed.fileNames);
  const disk = new Map();
  const host = {
    getCompilationSettings: () => ({ ...parsed.options, noEmit: true, incremental: false, composite: false, tsBuildInfoFile: undefined }),
    getProjectReferences: () => parsed.projectReferences,
    getScriptFileNames: () => [...roots].filter((file) => overlay.get(file) !== null),
    getScriptVersion: (file) => (overlay.has(file) ? "o" + overlay.get(file + "\0version") : "d"),
    getProjectVersion: () => String(version),
    getScriptSnapshot: (file) => {
      if (overlay.has(file)) return overlay.get(file) === null ? undefined : ts.ScriptSnapshot.fromString(overlay.get(file));
      if (!disk.has(file)) disk.set(file, ts.sys.fileExists(file) ? ts.ScriptSnapshot.fromString(ts.sys.readFile(file) || "") : undefined);
      return disk.get(file);
    },
    getCurrentDirectory: () => path.dirname(config),
    getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
    fileExists: (file) => (overlay.has(file) ? overlay.get(file) !== null : ts.sys.fileExists(file)),
    readFile: (file, encoding) => (overlay.has(file) ? overlay.get(file) || undefined : ts.sys.readFile(file, encoding)),
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: ts.sys.realpath,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
  };
  return { config, host, service: ts.createLanguageService(host, ts.createDocumentRegistry()), roots };
}

const relative = (file) => path.relative(root, file).split(path.sep).join("/");
const inside = (file) => {
  const name = relative(file);
  return name && !name.startsWith("..") && !name.split("/").includes("node_modules") ? name : null;
};

// UTF-16 offsets to UTF-8 offsets; ASCII texts need no counting.
const ascii = new Map();
function bytes(text, offset) {
  if (!ascii.has(text)) {
    if (ascii.size > 200) ascii.clear();
    ascii.set(text, Buffer.byteLength(text) === text.length);
  }
  return ascii.get(text) ? offset : Buffer.byteLength(text.slice(0, offset));
}

function judge(request) {
  version++;
  const files = new Map();
  for (const [name, text] of Object.entries(request.files)) files.set(path.join(root, name), text);
  for (const key of [...overlay.keys()]) if (!key.endsWith("\0version") && !files.has(key)) { overlay.delete(key); }
  for (const [file, text] of files) {
    if (overlay.get(file) !== text || !overlay.has(file)) overlay.set(file + "\0version", version);
    overlay.set(file, text);
  }
  last = [];
  const seen = new Set();
  for (const one of services) {
    const program = one.service.getProgram();
    for (const diagnostic of program.getOptionsDiagnostics()) add(one, diagnostic, seen);
    for (const source of program.getSourceFiles()) {
      if (!inside(source.fileName) || source.isDeclarationFile && one.host.getCompilationSettings().skipLibCheck) continue;
      const all = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      for (const diagnostic of all) add(one, diagnostic, seen);
    }
  }
  return { diagnostics: last.map((entry) => entry.told) };
}

function add(one, diagnostic, seen) {
  if (diagnostic.category !== ts.DiagnosticCategory.Error || last.length >= MOST_DIAGNOSTICS) return;
  const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
  const told = { code: diagnostic.code, message, file: null, start: 0, end: 0, line: 0, syntax: diagnostic.code < 2000 };
  if (diagnostic.file) {
    const text = diagnostic.file.text;
    told.file = inside(diagnostic.file.fileName);
    told.start = bytes(text, diagnostic.start);
    told.end = bytes(text, diagnostic.start + diagnostic.length);
    told.line = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line + 1;
  }
  told.related = (diagnostic.relatedInformation || []).filter((related) => related.file && inside(related.file.fileName)).slice(0, 8).map((related) => ({
    file: inside(related.file.fileName), start: bytes(related.file.text, related.start), end: bytes(related.file.text, related.start + related.length),
    message: ts.flattenDiagnosticMessageText(related.messageText, "\n") }));
  const key = told.code + told.file + told.start + told.message;
  if (seen.has(key)) return;
  seen.add(key);
  last.push({ one, diagnostic, told });
}

function edits(one, changes) {
  const all = [];
  for (const change of changes) {
    const name = inside(change.fileName);
    if (!name || change.isNewFile) return null;
    const source = one.service.getProgram().getSourceFile(change.fileName);
    if (!source) return null;
    for (const edit of change.textChanges) {
      all.push({ file: name, start: bytes(source.text, edit.span.start), end: bytes(source.text, edit.span.start + edit.span.length), text: edit.newText });
    }
  }
  return all;
}

// How the file at hand is written, so that what is inserted fits.
function formatting(one, source) {
  const text = source.text;
  const options = ts.getDefaultFormatCodeSettings(text.includes("\r\n") ? "\r\n" : "\n");
  const indents = (text.match(/^ +(?=\S)/gm) || []).map((indent) => indent.length).filter((width) => width > 1);
  if (/^\t/m.test(text)) options.convertTabsToSpaces = false;
  else if (indents.length) options.indentSize = options.tabSize = Math.min(...indents, 4);
  const lines = text.split("\n").filter((line) => /^\s*(import|const|let|return|export)\b.*[\w)'"\]}]\s*;?\s*$/.test(line));
  const ended = lines.filter((line) => line.trimEnd().endsWith(";")).length;
  if (lines.length) options.semicolons = ended * 2 >= lines.length ? ts.SemicolonPreference.Insert : ts.SemicolonPreference.Remove;
  const single = (text.match(/from '/g) || []).length, double = (text.match(/from "/g) || []).length;
  const compiler = one.host.getCompilationSettings();
  const apart = compiler.verbatimModuleSyntax || compiler.isolatedModules || /^import type /m.test(text);
  return [options, { preferTypeOnlyAutoImports: apart, quotePreference: single > double ? "single" : double ? "double" : "auto", importModuleSpecifierPreference: "shortest",
    includeCompletionsForModuleExports: false, includeCompletionsWithInsertText: true }];
}

function fixes() {
  return { fixes: last.slice(0, MOST_FIXED).map((entry) => {
    const { one, diagnostic, told } = entry;
    const answer = { fixes: [], names: [], exporters: [] };
    if (!diagnostic.file || !told.file) return answer;
    const [format, preferences] = formatting(one, diagnostic.file);
    const end = diagnostic.start + diagnostic.length;
    try {
      for (const fix of one.service.getCodeFixesAtPosition(diagnostic.file.fileName, diagnostic.start, end, [diagnostic.code], format, preferences)) {
        if (REFUSED.has(fix.fixName) || (fix.commands && fix.commands.length)) continue;
        const all = edits(one, fix.changes);
        if (all && all.length) answer.fixes.push({ name: fix.fixName, title: fix.description, late: LAST.has(fix.fixName), edits: all });
      }
    } catch (error) { answer.failed = String(error && error.message); }
    try { names(one, diagnostic, answer, preferences); } catch (_) { /* the other candidates stay */ }
    return answer;
  }) };
}

function nodeAt(source, position) {
  let found = source;
  (function visit(node) {
    if (node.getStart(source) <= position && position < node.end) { found = node; ts.forEachChild(node, visit); }
  })(source);
  return found;
}

function declared(symbol) {
  const declaration = symbol && (symbol.declarations || [])[0];
  const name = declaration && (declaration.name || declaration);
  const file = name && name.getSourceFile && inside(name.getSourceFile().fileName);
  if (!file || !ts.isIdentifier(name)) return null;
  const source = name.getSourceFile();
  return { file, start: bytes(source.text, name.getStart(source)), end: bytes(source.text, name.end) };
}

function names(one, diagnostic, answer, preferences) {
  const program = one.service.getProgram();
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(diagnostic.file.fileName);
  let node = nodeAt(source, diagnostic.start);
  if (ts.isPropertyAccessExpression(node)) node = node.name;
  answer.at = { start: bytes(source.text, node.getStart(source)), end: bytes(source.text, node.end), text: node.getText(source).slice(0, 200) };
  const put = (symbols) => {
    for (const symbol of symbols) {
      if (answer.names.length >= MOST_NAMES) break;
      answer.names.push({ text: symbol.name, declared: declared(symbol) });
    }
  };
  const importing = ts.findAncestor(node, (up) => ts.isImportDeclaration(up) || ts.isExportDeclaration(up));
  if (importing && importing.moduleSpecifier) {
    const module = checker.getSymbolAtLocation(importing.moduleSpecifier);
    if (module) put(checker.getExportsOfModule(module));
    const specifier = importing.moduleSpecifier;
    answer.specifier = { start: bytes(source.text, specifier.getStart(source) + 1), end: bytes(source.text, specifier.end - 1), text: specifier.text };
    const target = module && (module.declarations || [])[0];
    if (target && inside(target.getSourceFile().fileName)) answer.module = inside(target.getSourceFile().fileName);
    // Who else exports that name, and who has it without exporting it.
    if (ts.isIdentifier(node)) {
      for (const other of program.getSourceFiles()) {
        const name = inside(other.fileName);
        if (!name || other === source || answer.exporters.length > 20) continue;
        const symbol = checker.getSymbolAtLocation(other);
        const exported = symbol ? checker.getExportsOfModule(symbol).some((one) => one.name === node.text) : false;
        const local = !exported && other.locals && other.locals.get(node.text);
        if (exported) answer.exporters.push({ file: name, exported: true });
        else if (local) {
          const statement = (local.declarations || [])[0];
          const whole = statement && ts.findAncestor(statement, (up) => up.parent === other);
          if (whole && !ts.isImportDeclaration(whole)) answer.exporters.push({ file: name, exported: false, at: bytes(other.text, whole.getStart(other)) });
        }
      }
    }
    return;
  }
  if (node.parent && ts.isPropertyAccessExpression(node.parent) && node.parent.name === node) {
    put(checker.getPropertiesOfType(checker.getApparentType(checker.getTypeAtLocation(node.parent.expression))));
    return;
  }
  if (node.parent && ts.isQualifiedName(node.parent) && node.parent.right === node) {
    const symbol = checker.getSymbolAtLocation(node.parent.left);
    if (symbol && symbol.exports) put([...symbol.exports.values()]);
  }
  const literal = ts.findAncestor(node, (up) => ts.isObjectLiteralExpression(up));
  if (node.parent && (ts.isPropertyAssignment(node.parent) || ts.isShorthandPropertyAssignment(node.parent)) && literal) {
    const type = checker.getContextualType(literal);
    if (type) put(type.isUnion() ? type.types.flatMap((part) => checker.getPropertiesOfType(part)) : checker.getPropertiesOfType(type));
  }
  if (node.parent && ts.isBindingElement(node.parent)) {
    put(checker.getPropertiesOfType(checker.getTypeAtLocation(node.parent.parent)));
  }
  if (node.parent && ts.isJsxAttribute(node.parent)) {
    const type = checker.getContextualType(node.parent.parent);
    if (type) put(checker.getPropertiesOfType(type));
  }
  if (ts.isStringLiteralLike(node)) {
    const type = checker.getContextualType(node) ;
    const parts = type ? (type.isUnion() ? type.types : [type]) : [];
    for (const part of parts) if (part.isStringLiteral && part.isStringLiteral()) answer.names.push({ text: part.value, declared: null });
    answer.at.start += 1;
    answer.at.end -= 1;
    answer.at.text = node.text;
    return;
  }
  // Where a value is wanted no type will do, and the other way round.
  const flags = ts.SymbolFlags;
  const type = !!ts.findAncestor(node, (up) => ts.isTypeNode(up) && !(ts.isExpressionWithTypeArguments(up) && up.parent.token === ts.SyntaxKind.ExtendsKeyword && ts.isClassLike(up.parent.parent)));
  const qualifies = node.parent && ts.isQualifiedName(node.parent) && node.parent.left === node;
  const meaning = qualifies ? flags.Namespace : type ? flags.Type : flags.Value;
  const fits = (symbol) => {
    if (!(symbol.flags & flags.Alias)) return true;
    const target = checker.getAliasedSymbol(symbol);
    return !target.declarations || (target.flags & meaning) !== 0;
  };
  if (ts.isIdentifier(node) && !answer.names.length) {
    put(checker.getSymbolsInScope(node, meaning | flags.Alias).filter(fits));
    // What other files of the project export: the import follows as a step of its own.
    for (const other of program.getSourceFiles()) {
      const symbol = inside(other.fileName) && other !== source && checker.getSymbolAtLocation(other);
      for (const exported of symbol ? checker.getExportsOfModule(symbol) : []) {
        if (answer.names.length < MOST_NAMES && (exported.flags & (meaning | flags.Alias)) && fits(exported)) answer.names.push({ text: exported.name, declared: null });
      }
    }
  }
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = request.op === "open" ? open(request) : request.op === "judge" ? judge(request) : fixes();
  } catch (error) {
    answer = { error: String((error && error.stack) || error).slice(0, 2000) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}).on("close", () => process.exit(0));
