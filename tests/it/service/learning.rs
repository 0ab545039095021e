//! Post-mortems as people meet them in the dashboard.

use super::Served;
use crate::project::Project;

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_helped_is_told_and_found() {
    let project = Project::new(&[("a.txt", "a\n")]);
    project
        .regreen(&["heal", "--no-model", "--", "sh", "-c", "echo '<b>src/x.c:1:2: error: odd</b>'; false"])
        .expect(1);
    let run = project.last_run();
    let served = Served::start(&project, &[]);
    let cookie = served.enter().await;
    let page = served.page(&format!("/runs/{run}"), &cookie).await.expect(200).text;
    assert!(page.contains(&format!("/runs/{run}/postmortem")), "{page}");
    let page = served.page(&format!("/runs/{run}/postmortem"), &cookie).await.expect(200).text;
    assert!(page.contains("What would have helped") && page.contains("no model was to be asked"), "{page}");
    assert!(!page.contains("<b>src"), "what a tool printed is escaped: {page}");
    let overview = served.page("/overview", &cookie).await.expect(200).text;
    assert!(overview.contains("/postmortems") && overview.contains("By week"), "{overview}");
    for (query, found) in [("", true), ("?text=MODEL%20asked", true), ("?text=nonsense-word", false)] {
        let list = served.page(&format!("/postmortems{query}"), &cookie).await.expect(200).text;
        assert_eq!(list.contains(&run), found, "{query}: {list}");
    }
    served.page("/postmortems?cursor=nonsense", &cookie).await.expect(400);
    served.page("/runs/00000000/postmortem", &cookie).await.expect(404);
}
