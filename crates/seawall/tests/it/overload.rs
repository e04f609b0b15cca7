//! More to do than there are places for: what matters most goes on, and the drill would notice if it did not.

use std::process::Output;

use crate::fleet::seawall;

fn overload(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        seawall(&[&["drill", "run", "links-overload", "--quick", "--seed", "1"], args].concat());
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// What the drill said of one measure.
fn line<'a>(said: &'a str, measure: &str) -> &'a str {
    said.lines().find(|line| line.trim_start().starts_with(measure)).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn redirects_go_on_while_three_times_as_many_list_as_there_are_places() {
    let (code, said) = overload(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(line(&said, "redirects not answered, spike").contains("PASS"), "{said}");
    assert!(!line(&said, "lists shed, spike").contains(" 0 %"), "{said}");
}

#[test]
fn the_drill_without_shedding_misses_its_target_and_exits_3() {
    let (code, said) = overload(&["--without", "shed"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(line(&said, "redirects not answered, spike").contains("FAIL"), "{said}");
    assert!(line(&said, "lists shed, spike").contains(" 0 %"), "{said}");
}
