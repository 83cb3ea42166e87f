//! What the elevation itself met. Nothing is asked again: a mint for an account that rests, or a
//! grant shorter than a lease needs, would give what no lease is to have.

use core::time::Duration;

use jitney_core::question::{Answer, Finding};

use super::{MINT, PAM_SHORTEST, PAM_WAY};
use crate::notes::{Note, Noted};
use crate::terms::{Terms, Way};

/// What the notes of a lease's elevation tell.
pub(super) fn findings(
    noted: &[Noted],
    plan: &Terms,
    deadline: Duration,
) -> Vec<(&'static str, Finding)> {
    let mut found = Vec::new();
    if matches!(plan.way, Way::Own(_) | Way::Standing | Way::Entitled { .. }) {
        found.push((MINT, mint(noted, deadline)));
    }
    if matches!(plan.way, Way::Entitled { .. }) {
        found.push((PAM_WAY, on_its_way(noted, deadline)));
        found.push((PAM_SHORTEST, shortest(noted)));
    }
    found
}

fn at(noted: &[Noted], is_it: impl Fn(&Note) -> bool) -> Option<Duration> {
    noted
        .iter()
        .find(|(_, note)| is_it(note))
        .map(|(at, _)| *at)
}

const ELSEWHERE: &str = "this broker did not see the elevation";

fn mint(noted: &[Noted], deadline: Duration) -> Finding {
    let enabled = at(noted, |note| *note == Note::Enabled);
    let minted = at(noted, |note| *note == Note::Minted);
    let Some((enabled, minted)) = enabled.zip(minted) else {
        return Finding::unanswered(ELSEWHERE);
    };
    let refused: Vec<&str> = noted
        .iter()
        .filter_map(|(at, note)| match note {
            Note::NotYet(said) if *at < minted => Some(said.as_str()),
            Note::NotYet(_) | Note::Enabled | Note::Minted | Note::Asked(_) | Note::Given => None,
        })
        .collect();
    let after = minted.saturating_sub(enabled);
    let seen = match refused.as_slice() {
        [] => "the first try after `enable` was given a token".to_owned(),
        [first, ..] => format!(
            "{} tries after `enable` were refused, the first with `{first}`",
            refused.len()
        ),
    };
    within(Finding::of(Answer::Measured(after), seen), after, deadline)
}

fn on_its_way(noted: &[Noted], deadline: Duration) -> Finding {
    let asked = at(noted, |note| matches!(note, Note::Asked(_)));
    let given = at(noted, |note| *note == Note::Given);
    let Some((asked, given)) = asked.zip(given) else {
        return Finding::unanswered(ELSEWHERE);
    };
    let after = given.saturating_sub(asked);
    let seen = "from being asked for to being `ACTIVE`";
    within(Finding::of(Answer::Measured(after), seen), after, deadline)
}

fn shortest(noted: &[Noted]) -> Finding {
    let asked = noted.iter().find_map(|(_, note)| match note {
        Note::Asked(seconds) => Some(*seconds),
        Note::Enabled | Note::NotYet(_) | Note::Minted | Note::Given => None,
    });
    let Some(asked) = asked else {
        return Finding::unanswered(ELSEWHERE);
    };
    let why = "a shorter one would have to be asked for, and is given if it may be";
    Finding {
        seen: format!("{asked} s were asked for and given"),
        ..Finding::unanswered(why)
    }
}

/// With the setting to change where what was waited for takes most of the time there is.
fn within(found: Finding, after: Duration, deadline: Duration) -> Finding {
    if after > deadline / 2 {
        let seconds = deadline.as_secs();
        return found.set(format!(
            "`elevate_deadline_seconds`, which is {seconds}: leave it room"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn notes(notes: &[(u64, Note)]) -> Vec<Noted> {
        let noted = notes.iter();
        noted
            .map(|(at, note)| (Duration::from_secs(*at), note.clone()))
            .collect()
    }

    #[test]
    fn a_mint_is_measured_from_enabling_to_the_first_token() {
        let not_yet = || Note::NotYet("403 PERMISSION_DENIED".to_owned());
        let found = mint(
            &notes(&[
                (5, Note::Enabled),
                (5, not_yet()),
                (6, not_yet()),
                (7, Note::Minted),
                // The lease's own token, after its grants.
                (9, not_yet()),
                (11, Note::Minted),
            ]),
            DEADLINE,
        );
        assert_eq!(found.answer, Answer::Measured(Duration::from_secs(2)));
        assert!(found.seen.starts_with("2 tries") && found.seen.contains("403"));
        assert_eq!(found.set, None);
        let at_once = mint(&notes(&[(5, Note::Enabled), (5, Note::Minted)]), DEADLINE);
        assert_eq!(at_once.answer, Answer::Measured(Duration::ZERO));
        let late = mint(&notes(&[(5, Note::Enabled), (11, Note::Minted)]), DEADLINE);
        assert!(late.set.is_some());
        for unseen in [&[][..], &[(5, Note::Enabled)], &[(5, Note::Minted)]] {
            let found = mint(&notes(unseen), DEADLINE);
            assert_eq!(found.answer.as_str(), "unanswered", "{unseen:?}");
        }
    }

    #[test]
    fn a_grant_is_measured_and_a_shorter_one_is_not_guessed_at() {
        let noted = notes(&[(5, Note::Asked(960)), (8, Note::Given)]);
        let way = on_its_way(&noted, DEADLINE);
        assert_eq!(way.answer, Answer::Measured(Duration::from_secs(3)));
        let shortest = shortest(&noted);
        assert_eq!(shortest.answer.as_str(), "unanswered");
        assert!(shortest.seen.contains("960 s"));
        let lost = on_its_way(&notes(&[(5, Note::Asked(960))]), DEADLINE);
        assert_eq!(lost.answer.as_str(), "unanswered");
    }
}
