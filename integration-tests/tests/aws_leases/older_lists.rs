//! Lists that earlier hands left on a role: when they may go, and what must not go with them.

use core::time::Duration;

use jitney_core::adapter::Revoke;
use jitney_integration_tests::adapter_laws::{Meddling, Stage, writing_as};

use crate::estate::ROLE;
use crate::lists::filler;
use crate::stage::{ours, percent_decoded};
use crate::steps::{FIRST, adapter, ending, revoked};

/// Long enough that nothing older is removed for its own sake.
const LONG: u32 = 900;

#[tokio::test]
async fn a_superseded_hand_keeps_what_its_own_list_has() {
    let stage = ours(0, LONG).await;
    let superseded = adapter(&stage);
    let (first, first_credential) = ending(&stage, &superseded).await;
    let (second, second_credential) = ending(&stage, &superseded).await;
    let (third, _) = ending(&stage, &superseded).await;
    revoked(&superseded, writing_as(6), first).await.unwrap();
    revoked(&adapter(&stage), writing_as(7), third)
        .await
        .unwrap();
    let fault = revoked(&superseded, writing_as(6), second)
        .await
        .unwrap_err();
    assert_eq!(fault.code, "aws_superseded");
    assert!(!stage.works(&first_credential).await.unwrap());
    assert!(!stage.works(&second_credential).await.unwrap());
}

#[tokio::test]
async fn a_full_role_loses_no_list_whose_denies_stand_nowhere_else() {
    let stage = ours(0, LONG).await;
    let (first, first_credential) = ending(&stage, &adapter(&stage)).await;
    let (second, _) = ending(&stage, &adapter(&stage)).await;
    let lane = first.terms().plan.lane.clone();
    let leases = [first, second];
    adapter(&stage)
        .revoke(&lane, FIRST, &leases[..1], &[])
        .await
        .unwrap();
    // Room for a list of one, and not for one of two, also where the first has gone.
    let list = stage.left_behind(&lane).await.unwrap().pop().unwrap();
    let found = stage.iam().get_role_policy().role_name(ROLE);
    let found = found.policy_name(list).send().await.unwrap();
    let room = percent_decoded(found.policy_document()).len() + 10;
    let put = stage.iam().put_role_policy().role_name(ROLE);
    let put = put.policy_name("operator").policy_document(filler(room));
    put.send().await.unwrap();
    let fault = adapter(&stage)
        .revoke(&lane, writing_as(2), &leases, &[])
        .await
        .unwrap_err();
    assert_eq!(fault.code, "aws_deny_list_full", "{}", fault.logged);
    assert!(!stage.works(&first_credential).await.unwrap());
}

#[tokio::test]
async fn an_older_list_stays_until_the_new_one_was_read_back() {
    let stage = ours(0, 0).await;
    let (lease, credential) = ending(&stage, &adapter(&stage)).await;
    let lane = lease.terms().plan.lane.clone();
    let leases = [lease];
    adapter(&stage)
        .revoke(&lane, FIRST, &leases, &[])
        .await
        .unwrap();
    // AWS says that it wrote the policy. It did not.
    let said = Meddling::AnswerInstead {
        status: "200 OK",
        content_type: "text/xml",
        body: "<PutRolePolicyResponse><ResponseMetadata><RequestId>r</RequestId>\
               </ResponseMetadata></PutRolePolicyResponse>"
            .to_owned(),
    };
    stage.relay.meddle("Action=PutRolePolicy&", said);
    adapter(&stage)
        .revoke(&lane, writing_as(2), &leases, &[])
        .await
        .unwrap();
    assert!(!stage.works(&credential).await.unwrap());
}

#[tokio::test]
async fn a_removal_that_lands_late_takes_no_later_list_with_it() {
    let stage = ours(0, 0).await;
    let adapter = adapter(&stage);
    let (first, _) = ending(&stage, &adapter).await;
    let (second, credential) = ending(&stage, &adapter).await;
    let lane = first.terms().plan.lane.clone();
    revoked(&adapter, FIRST, first).await.unwrap();
    let late = Meddling::CarryOutLate(Duration::from_secs(2));
    stage.relay.meddle("Action=DeleteRolePolicy&", late);
    adapter.revoke(&lane, FIRST, &[], &[]).await.unwrap_err();
    revoked(&adapter, FIRST, second).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!stage.works(&credential).await.unwrap());
}

#[tokio::test]
async fn a_later_hand_is_found_behind_a_page_of_other_policies() {
    let stage = ours(0, 0).await;
    let (first, _) = ending(&stage, &adapter(&stage)).await;
    let (second, _) = ending(&stage, &adapter(&stage)).await;
    let lane = first.terms().plan.lane.clone();
    let leases = [first, second];
    // IAM takes about as many calls a second as it likes.
    let breath = || tokio::time::sleep(Duration::from_millis(200));
    // It gives a hundred names a page, and these come before ours.
    let small = r#"{"Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}"#;
    for number in 0..100 {
        let put = stage.iam().put_role_policy().role_name(ROLE);
        let put = put.policy_name(format!("a{number:03}"));
        let put = put.policy_document(small);
        while put.clone().send().await.is_err() {
            breath().await;
        }
    }
    let (stage, lane) = (&stage, &lane);
    // What the one lease that is due is told; nothing when it is being ended.
    let told = |epoch, due: usize| {
        let due = &leases[due..=due];
        async move {
            let pass = adapter(stage)
                .revoke(lane, writing_as(epoch), due, &[])
                .await;
            let told = pass.and_then(|mut pass| pass.leases.pop_first().unwrap().1);
            told.err().map(|fault| fault.code)
        }
    };
    let patiently = |epoch, due| async move {
        loop {
            match told(epoch, due).await {
                Some("aws_throttled") => breath().await,
                other => return other,
            }
        }
    };
    assert_eq!(patiently(7, 0).await, None);
    assert_eq!(patiently(6, 1).await, Some("aws_superseded"));
}
