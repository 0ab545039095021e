//! Maven and Gradle.

use super::{Draft, Folder, Project};

/// A Maven or Gradle build; what lies below another one is taken for its module.
pub(super) fn build(folder: &Folder<'_>, inside: bool) -> Option<Project> {
    if inside {
        return None;
    }
    let (checks, setup) = if folder.has("pom.xml") {
        let maven = if folder.has("mvnw") { "sh ./mvnw -B" } else { "mvn -B" };
        let checks = vec![
            Draft::new("build", format!("{maven} test-compile"), 15),
            Draft::new("test", format!("{maven} test"), 20),
        ];
        (checks, format!("{maven} dependency:go-offline"))
    } else if folder.has_any(&["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"])
    {
        // A daemon would outlive its check only to be killed with it.
        let gradle = if folder.has("gradlew") { "sh ./gradlew --no-daemon" } else { "gradle --no-daemon" };
        let checks = vec![
            Draft::new("build", format!("{gradle} assemble testClasses"), 15),
            Draft::new("test", format!("{gradle} test"), 20),
        ];
        (checks, format!("{gradle} assemble testClasses"))
    } else {
        return None;
    };
    Some(Project { ecosystem: "java", checks, setup: Some(setup), ..Project::default() })
}
