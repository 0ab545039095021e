# Looks over the Python sources below the current folder without running them, and prints one JSON object: what does not
# parse, names that nothing binds, and what there is to name instead.
import ast, builtins, importlib.util, json, os, symtable, sys, warnings

warnings.simplefilter("ignore")
sys.setrecursionlimit(5000)
SKIP = {"node_modules", "site-packages", "__pycache__", "venv", "env", "build", "dist", "target"}
MOST_FILES, MOST_BYTES = 1500, 1 << 20
STDLIB = sorted(getattr(sys, "stdlib_module_names", set(sys.builtin_module_names)))
BUILTINS = set(dir(builtins)) | {"__file__", "__name__", "__doc__", "__path__", "__class__", "__builtins__", "__spec__", "__package__"}


def sources():
    count = 0
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(f for f in folders if f not in SKIP and not f.startswith("."))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), ".").replace(os.sep, "/")
            if name.endswith(".py") and os.path.isfile(path) and os.path.getsize(path) <= MOST_BYTES:
                count += 1
                if count > MOST_FILES:
                    return
                yield path


def bound(target, names):
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            names.add(node.id)


def top_names(body, names):
    star = False
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Import):
            names.update((a.asname or a.name.split(".")[0]) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            star = star or any(a.name == "*" for a in node.names)
            names.update((a.asname or a.name) for a in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in getattr(node, "targets", None) or [node.target]:
                bound(target, names)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            if isinstance(node, ast.For):
                bound(node.target, names)
            for part in ("body", "orelse", "finalbody"):
                star = top_names(getattr(node, part, []), names) or star
            for handler in getattr(node, "handlers", []):
                star = top_names(handler.body, names) or star
    return star


def unbound(table, module_names, names):
    # The names that some scope reads as global and that the module does not bind.
    for symbol in table.get_symbols():
        name = symbol.get_name()
        if symbol.is_referenced() and name not in module_names and name not in BUILTINS:
            at_top = table.get_type() == "module"
            local = symbol.is_assigned() or symbol.is_imported() or symbol.is_parameter()
            if (at_top and not local) or (not at_top and symbol.is_global() and not local):
                names.add(name)
    for child in table.get_children():
        unbound(child, module_names, names)


def class_attributes(node):
    attributes = set()
    for sub in ast.walk(node):
        if isinstance(sub, (ast.FunctionDef, ast.AsyncFunctionDef)):
            attributes.add(sub.name)
        elif isinstance(sub, ast.Attribute) and isinstance(sub.ctx, ast.Store) and isinstance(sub.value, ast.Name) and sub.value.id in ("self", "cls"):
            attributes.add(sub.attr)
    for sub in node.body:
        if isinstance(sub, (ast.Assign, ast.AnnAssign)):
            for target in getattr(sub, "targets", None) or [sub.target]:
                bound(target, attributes)
    return attributes


def dotted(path):
    parts = path[:-3].split("/")
    if parts[-1] == "__init__":
        parts.pop()
    # A folder of sources that is no package itself is where imports start.
    start = len(parts) - 1
    while start > 0 and os.path.exists("/".join(parts[:start] + ["__init__.py"])):
        start -= 1
    if start == 0 or os.path.exists("/".join(parts[:1] + ["__init__.py"])):
        return ".".join(parts)
    if os.path.exists("/".join(parts[:start] + ["__init__.py"])):
        return ".".join(parts[start - 1:])
    return ".".join(parts[start:]) if parts[0] in ("src", "lib", "python", "tests", "test") else ".".join(parts)


def survey():
    problems, modules, classes, functions, imports, keys = [], {}, {}, {}, [], set()
    parsed = []
    for path in sources():
        try:
            with open(path, "rb") as file:
                data = file.read()
            tree = ast.parse(data, path)
        except SyntaxError as error:
            # Some errors have an end or an offset below 1: not known.
            line, column = max(error.lineno or 1, 1), max(error.offset or 1, 1)
            end_line, end_column = getattr(error, "end_lineno", None) or line, getattr(error, "end_offset", None) or column
            if end_line < line or end_column < 1:
                end_line, end_column = line, column
            problems.append({"kind": "syntax", "type": type(error).__name__, "file": path, "line": line, "column": column,
                             "end_line": end_line, "end_column": end_column, "message": error.msg or ""})
            continue
        except (ValueError, RecursionError, MemoryError, OSError):
            continue
        names = set()
        star = top_names(tree.body, names)
        own = set()
        top_names([node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Try, ast.If))], own)
        modules[dotted(path)] = {"file": path, "names": sorted(names), "own": sorted(own), "star": star}
        parsed.append((path, data, tree, names, star))
    for path, data, tree, names, star in parsed:
        lines = data.decode("utf-8", "replace").splitlines()
        missing = set()
        if not star:
            # A `global` statement binds in the module too.
            everywhere = set(names)
            for node in ast.walk(tree):
                if isinstance(node, ast.Global):
                    everywhere.update(node.names)
            try:
                unbound(symtable.symtable(data, path, "exec"), everywhere, missing)
            except (SyntaxError, ValueError, RecursionError):
                pass
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in missing:
                # Columns of the parser are UTF-8 bytes.
                line = lines[node.lineno - 1] if node.lineno <= len(lines) else ""
                column = len(line.encode()[: node.col_offset].decode("utf-8", "replace")) + 1
                problems.append({"kind": "name", "file": path, "line": node.lineno, "column": column, "name": node.id})
            elif isinstance(node, ast.ClassDef):
                known = classes.setdefault(node.name, {"attributes": [], "bases": [], "file": path, "from": node.lineno, "to": node.end_lineno})
                known["attributes"] = sorted(set(known["attributes"]) | class_attributes(node))
                known["bases"] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = node.args
                all_arguments = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
                known = functions.setdefault(node.name, [])
                known.extend(a.arg for a in all_arguments if a.arg not in known)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    text = "import " + alias.name + (" as " + alias.asname if alias.asname else "")
                    imports.append({"name": alias.asname or alias.name.split(".")[0], "text": text, "module": alias.name, "file": path})
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    module = "." * node.level + (node.module or "")
                    text = "from " + module + " import " + alias.name + (" as " + alias.asname if alias.asname else "")
                    imports.append({"name": alias.asname or alias.name, "text": text, "module": module, "file": path})
                    found = modules.get(module) if node.level == 0 else None
                    if found and not found["star"] and alias.name != "*" and alias.name not in found["names"] and (module + "." + alias.name) not in modules:
                        problems.append({"kind": "import", "file": path, "line": node.lineno, "column": 1, "name": alias.name, "module": module})
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and 1 < len(node.value) < 60 and len(keys) < 5000:
                keys.add(node.value)
    unique, seen = [], set()
    for one in imports:
        if (one["name"], one["text"], one["file"]) not in seen:
            seen.add((one["name"], one["text"], one["file"]))
            unique.append(one)
    installed = set()
    for entry in sys.path:
        try:
            for name in os.listdir(entry or "."):
                stem = name.split(".")[0]
                if stem.isidentifier() and (name.endswith(".py") or os.path.isdir(os.path.join(entry or ".", name))):
                    installed.add(stem)
        except OSError:
            pass
    attributes = {}
    wanted = {one["module"] for one in imports if one["text"].startswith("import ") and one["module"].split(".")[0] in STDLIB}
    # Of the standard library only what the sources import already; a module of the repo's own is not run.
    for name in sorted(wanted - set(modules) - {"this", "antigravity"})[:60]:
        if name.split(".")[0] not in modules:
            try:
                attributes["module " + name] = [a for a in dir(importlib.import_module(name)) if not a.startswith("__")]
            except Exception:
                pass
    kinds = (str, bytes, int, float, list, dict, set, tuple)
    return {"problems": problems[:400], "modules": modules, "classes": classes, "functions": functions, "imports": unique[:8000],
            "stdlib": STDLIB, "installed": sorted(installed)[:3000], "builtins": sorted(BUILTINS), "strings": sorted(keys),
            "attributes": {**attributes, **{kind.__name__: [a for a in dir(kind) if not a.startswith("__")] for kind in kinds}}}


print("\x1e" + json.dumps(survey(), ensure_ascii=False))
