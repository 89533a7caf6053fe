//! Who has been deleted or merged while questions were in flight. A question holds the moment at which it began; whatever it
//! leaves behind at its end is of nobody, or of another user, if its user has departed since. A question pays one shared
//! pointer, a departure one more; moments that no question holds are gone.

use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;

use super::lock;

/// All departures to come, seen from now.
#[derive(Default)]
pub(super) struct Departed {
    now: ArcSwap<Moment>,
    departing: Mutex<()>,
}

/// A moment, and the first departure after it.
#[derive(Default)]
pub(super) struct Moment(OnceLock<(Departure, Arc<Moment>)>);

struct Departure {
    user: Box<str>,
    /// Who they turned out to be; nobody if they were deleted.
    into: Option<Box<str>>,
}

/// What has become of a user since a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since<'a> {
    /// Still the same.
    There,
    /// They turned out to be this one.
    Is(&'a str),
    /// Deleted.
    Gone,
}

impl Departed {
    /// The moment at which a question begins: before anything of its user is looked at.
    pub fn now(&self) -> Arc<Moment> {
        self.now.load_full()
    }

    /// To be called when the store has let the user go; what questions have left until then is to be removed afterwards.
    pub fn depart(&self, user: &str, into: Option<&str>) {
        let _departing = lock(&self.departing);
        let next = Arc::new(Moment::default());
        let departure = Departure { user: user.into(), into: into.map(Into::into) };
        // It is the newest, and departures take turns: nothing follows it yet.
        let _ = self.now.load().0.set((departure, Arc::clone(&next)));
        self.now.store(next);
    }
}

impl Moment {
    /// What has become of a user since.
    pub fn since<'a>(&'a self, user: &'a str) -> Since<'a> {
        let (mut name, mut moment) = (user, self);
        while let Some((departure, next)) = moment.0.get() {
            if *departure.user == *name {
                match &departure.into {
                    Some(into) => name = into,
                    None => return Since::Gone,
                }
            }
            moment = next;
        }
        if name == user { Since::There } else { Since::Is(name) }
    }
}

/// One after the other: a question may have outlived any number of departures.
impl Drop for Moment {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some((_, moment)) = next {
            next = Arc::into_inner(moment).and_then(|mut moment| moment.0.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_learns_what_has_become_of_its_user() {
        let departed = Departed::default();
        let before = departed.now();
        departed.depart("a", Some("b"));
        let between = departed.now();
        departed.depart("b", Some("c"));
        departed.depart("d", None);
        assert_eq!((before.since("a"), between.since("a")), (Since::Is("c"), Since::There));
        assert_eq!(
            (between.since("b"), before.since("d"), before.since("e")),
            (Since::Is("c"), Since::Gone, Since::There)
        );
        assert_eq!(departed.now().since("d"), Since::There, "who comes back is another");
    }

    #[test]
    fn a_question_may_outlive_any_number_of_departures() {
        let departed = Departed::default();
        let first = departed.now();
        (0..200_000).for_each(|number| departed.depart(&number.to_string(), None));
        assert_eq!(first.since("199999"), Since::Gone);
        drop(departed);
        drop(first);
    }
}
