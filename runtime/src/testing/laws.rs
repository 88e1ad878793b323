//! Laws every intervention keeps, whatever it does. Each operation, adapter and controller calls them.

use super::tiny;
use crate::error::Result;
use crate::hook::Intervention;
use crate::plan::Plan;
use crate::session::Session;
use std::sync::Arc;

/// A law that an intervention broke.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It could not be run at all.
    #[error(transparent)]
    Failed(Box<crate::error::Error>),
    /// Its results are not what the law says.
    #[error("{0}")]
    Law(&'static str),
}

impl From<crate::error::Error> for Broken {
    fn from(error: crate::error::Error) -> Self {
        Broken::Failed(Box::new(error))
    }
}

const PROMPT: [u32; 5] = [3, 1, 4, 1, 5];
const REST: [u32; 6] = [9, 2, 6, 5, 3, 5];

/// Runs an intervention on the tiny model and checks that
///
/// - chunks of any size give the bits of one shot,
/// - rewinding and running again gives the bits of never having rewound,
/// - a fork and its origin do not disturb each other,
/// - two sessions of one intervention are independent.
///
/// ```
/// use trimtab_runtime::hook::Addition;
/// use trimtab_runtime::site::Site;
/// use trimtab_runtime::testing::{laws, tiny};
///
/// let push = Addition::new(Site::ResidPost(1), vec![0.3; tiny::WIDTH], 2.0).unwrap();
/// laws::check_intervention(std::sync::Arc::new(push)).unwrap();
/// ```
pub fn check_intervention(intervention: Arc<dyn Intervention>) -> Result<(), Broken> {
    let plan = Plan::from_shared([intervention]);
    let decoder = tiny::decoder()?;
    let pool = decoder.pool(512)?;
    let fresh = || -> Result<Session> {
        let mut session = Session::new(decoder.clone(), &pool, plan.clone())?;
        session.push_prompt(&PROMPT)?;
        Ok(session)
    };
    let expected = one_by_one(&mut fresh()?)?;
    chunks(fresh, &expected)?;
    rewind(fresh()?, &expected)?;
    forks(fresh()?, &expected)?;
    let (mut a, mut b) = (fresh()?, fresh()?);
    let (mut of_a, mut of_b) = (Trail::new(), Trail::new());
    for token in REST {
        of_a.push(a.advance(&[token])?.logits);
        of_b.push(b.advance(&[token])?.logits);
    }
    let message = "two sessions of one intervention disturb each other";
    equal(&of_a, &expected, message)?;
    equal(&of_b, &expected, message)
}

type Trail = Vec<Vec<Vec<f32>>>;

fn one_by_one(session: &mut Session) -> Result<Trail> {
    REST.iter().map(|t| Ok(session.advance(&[*t])?.logits)).collect()
}

fn chunks(fresh: impl Fn() -> Result<Session>, expected: &Trail) -> Result<(), Broken> {
    for size in [1, 2, 3, 100] {
        let mut session = fresh()?;
        session.set_chunk(size);
        let last = session.advance(&REST)?.logits;
        equal(Some(&last), expected.last(), "the size of chunks changes the result")?;
    }
    Ok(())
}

fn rewind(mut session: Session, expected: &Trail) -> Result<(), Broken> {
    let start = session.checkpoint();
    one_by_one(&mut session)?;
    session.rollback(&start)?;
    equal(&one_by_one(&mut session)?, expected, "a rewind is not exact")
}

fn forks(mut session: Session, expected: &Trail) -> Result<(), Broken> {
    let mut fork = session.fork();
    fork.advance(&[7, 7, 7])?;
    equal(&one_by_one(&mut session)?, expected, "a fork disturbs its origin")
}

fn equal<T: PartialEq>(found: T, expected: T, law: &'static str) -> Result<(), Broken> {
    if found == expected { Ok(()) } else { Err(Broken::Law(law)) }
}
