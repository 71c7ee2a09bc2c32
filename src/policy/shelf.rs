//! One subject's grants under one name on one dataset, and a way to the first that covers a place
//! without trying each: it is made with the subject's view, never on a request's path.
//!
//! The rule itself is [`Cover::covers`]: a short list is walked by it, and the index must find what
//! that walk finds (a property below). Denials of a whole region are always walked: any prefix
//! below the region counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::grant::Terms;
use super::held::{Cover, Place, Reach};
use crate::types::{Action, Network, PartitionName, Timestamp};

/// Up to so many grants are walked: cheaper than looking them up.
const WALKED: usize = 32;

/// So many places of an index for each grant, and lengths of prefixes, are the most that one has:
/// beyond, the grants are walked, or their owner could fill the memory of whoever asks.
const PLACES_MAX: usize = 8;
/// See [`PLACES_MAX`].
const LENGTHS_MAX: usize = 64;

/// Whether grants are found faster by an index, at a size that is in proportion.
fn pays(covers: &[Cover]) -> bool {
    let networks = |cover: &Cover| cover.terms.as_ref().map_or(0, |terms| terms.networks.len());
    let places: usize = covers.iter().map(|cover| networks(cover).max(1)).sum();
    let lengths: BTreeSet<usize> = covers.iter().map(|cover| cover.prefix.len()).collect();
    covers.len() > WALKED
        && places <= covers.len().saturating_mul(PLACES_MAX)
        && lengths.len() <= LENGTHS_MAX
}

/// Grants in the order in which they speak.
#[derive(Debug)]
pub(super) struct Shelf {
    covers: Vec<Cover>,
    index: Option<Index>,
}

/// Where the grants stand in the order, by all that is told of a request.
#[derive(Debug)]
struct Index {
    /// By exact prefix.
    prefixes: HashMap<String, Group>,
    /// The lengths of these, the longest first: a longer one speaks first.
    lengths: Vec<usize>,
    /// All of them, for questions to which every prefix is an answer; nothing where all have one
    /// prefix.
    any: Option<Group>,
    /// A number for each purpose, from 1.
    purposes: HashMap<String, u32>,
}

/// By network, purpose and version, then by what few grants differ in.
#[derive(Debug, Default)]
struct Group {
    slots: HashMap<Slot, Vec<(Rest, Timeline)>>,
    /// The lengths that networks have.
    lengths: BTreeSet<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Slot {
    from: Whence,
    /// The purpose's number; 0 for whatever it is.
    purpose: u32,
    version: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Whence {
    /// Grants that name no network.
    Anywhere,
    /// Those that name this one.
    Within(Network),
    /// Those that name one, whichever: of denials, for whoever comes from nowhere known.
    Somewhere,
}

/// What is left of a grant's terms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rest {
    actions: Vec<Action>,
    partitions: Vec<PartitionName>,
}

/// A grant with its place in the order.
type Placed<'a> = (usize, &'a Cover);

/// From each moment until the next one: the first grant that is live.
#[derive(Debug)]
struct Timeline(Vec<(Timestamp, Option<usize>)>);

impl Shelf {
    /// Of grants that allow, or that deny.
    pub(super) fn new(mut covers: Vec<Cover>, denies: bool) -> Self {
        // The narrowest grant speaks first, so that a record names the most telling one; among
        // equals the one that stands first.
        covers.sort_by_key(|cover| (std::cmp::Reverse(cover.prefix.len()), cover.grant));
        let index = pays(&covers).then(|| Index::new(&covers, denies));
        Self { covers, index }
    }

    /// The first grant that covers `place`, as its index in the subject's list.
    pub(super) fn find(&self, place: &Place<'_>, denies: bool) -> Option<usize> {
        let found = match &self.index {
            Some(index) if !(denies && place.reach == Reach::Region) => {
                let at = index.find(place, denies)?;
                self.covers.get(at)
            }
            _ => self
                .covers
                .iter()
                .find(|cover| cover.covers(*place, denies)),
        };
        found.map(|cover| cover.grant)
    }
}

impl Index {
    fn new(covers: &[Cover], denies: bool) -> Self {
        let mut purposes = HashMap::new();
        for cover in covers {
            if let Some(purpose) = &cover.purpose {
                let next = u32::try_from(purposes.len()).unwrap_or(u32::MAX);
                let _number: &mut u32 = purposes
                    .entry(purpose.clone())
                    .or_insert_with(|| next.saturating_add(1));
            }
        }
        let mut by_prefix: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, cover) in covers.iter().enumerate() {
            by_prefix.entry(&cover.prefix).or_default().push(at);
        }
        let group = |all: &[usize]| Group::new(covers, all, (&purposes, denies));
        let all: Vec<usize> = (0..covers.len()).collect();
        let lengths: BTreeSet<usize> = by_prefix.keys().map(|prefix| prefix.len()).collect();
        let prefixes = by_prefix
            .iter()
            .map(|(prefix, all)| ((*prefix).to_owned(), group(all)));
        Self {
            prefixes: prefixes.collect(),
            lengths: lengths.into_iter().rev().collect(),
            any: (by_prefix.len() > 1).then(|| group(&all)),
            purposes,
        }
    }

    /// The first place in the order whose grant covers this.
    fn find(&self, place: &Place<'_>, denies: bool) -> Option<usize> {
        let purpose = match place.when.purpose {
            Some(purpose) if !denies => *self.purposes.get(purpose)?,
            _ => 0,
        };
        if place.reach == Reach::Existence {
            let group = if denies {
                self.prefixes.get("")
            } else {
                self.any.as_ref().or_else(|| self.prefixes.values().next())
            };
            return group?.find(place, purpose, denies);
        }
        // What stands under a longer prefix comes first in the order.
        self.lengths.iter().find_map(|length| {
            let prefix = place.key.get(..*length)?;
            self.prefixes.get(prefix)?.find(place, purpose, denies)
        })
    }
}

impl Group {
    /// Of the grants at these places.
    fn new(
        covers: &[Cover],
        all: &[usize],
        (purposes, denies): (&HashMap<String, u32>, bool),
    ) -> Self {
        let plain = Terms::default();
        let mut group = Self::default();
        let mut slots: HashMap<Slot, BTreeMap<Rest, Vec<Placed<'_>>>> = HashMap::new();
        for (at, cover) in all.iter().filter_map(|at| Some((*at, covers.get(*at)?))) {
            let terms = cover.terms.as_ref().unwrap_or(&plain);
            let rest = Rest {
                actions: terms.actions.clone(),
                partitions: terms.partitions.clone(),
            };
            let networks: BTreeSet<Network> = terms.networks.iter().copied().collect();
            group.lengths.extend(networks.iter().map(Network::length));
            let (named, without) = (!networks.is_empty(), networks.is_empty());
            let within = networks.into_iter().map(Whence::Within);
            let from = within
                .chain(without.then_some(Whence::Anywhere))
                .chain((named && denies).then_some(Whence::Somewhere));
            let own = cover.purpose.as_ref().and_then(|own| purposes.get(own));
            for from in from {
                for purpose in [Some(&0), own].into_iter().flatten() {
                    let slot = Slot {
                        from,
                        purpose: *purpose,
                        version: terms.version,
                    };
                    let rests = slots.entry(slot).or_default();
                    rests.entry(rest.clone()).or_default().push((at, cover));
                }
            }
        }
        let timed = |rests: BTreeMap<Rest, Vec<Placed<'_>>>| {
            let timed = rests.into_iter();
            timed
                .map(|(rest, all)| (rest, Timeline::new(&all)))
                .collect()
        };
        group.slots = slots
            .into_iter()
            .map(|(slot, rests)| (slot, timed(rests)))
            .collect();
        group
    }

    fn find(&self, place: &Place<'_>, purpose: u32, denies: bool) -> Option<usize> {
        let nowhere = place.when.client.is_none() && denies;
        let somewhere = nowhere.then_some(Whence::Somewhere);
        let nets = place.when.client.into_iter().flat_map(|client| {
            let around = move |length: &u8| Network::around(client, *length);
            self.lengths.iter().filter_map(around).map(Whence::Within)
        });
        let from = [Whence::Anywhere].into_iter().chain(somewhere).chain(nets);
        let versions = [None, place.when.version];
        let versions = versions.get(..=usize::from(place.when.version.is_some()));
        let slots = from.flat_map(|from| {
            let versions = versions.unwrap_or_default().iter();
            versions.map(move |version| Slot {
                from,
                purpose,
                version: *version,
            })
        });
        let rests = slots.filter_map(|slot| self.slots.get(&slot)).flatten();
        let fits = |(rest, timeline): &(Rest, Timeline)| {
            rest.fits(place, denies).then(|| timeline.at(place.now))?
        };
        rests.filter_map(fits).min()
    }
}

impl Rest {
    fn fits(&self, place: &Place<'_>, denies: bool) -> bool {
        super::grant::is_there(&self.partitions, place.when.ground, denies)
            && (self.actions.is_empty() || self.actions.contains(&place.action))
    }
}

impl Timeline {
    fn new(all: &[Placed<'_>]) -> Self {
        let mut moments: BTreeMap<Timestamp, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (at, cover) in all {
            if cover.ends.is_some_and(|end| end <= cover.starts) {
                continue;
            }
            moments.entry(cover.starts).or_default().0.push(*at);
            if let Some(end) = cover.ends {
                moments.entry(end).or_default().1.push(*at);
            }
        }
        let mut standing = BTreeSet::new();
        let mut changes: Vec<(Timestamp, Option<usize>)> = Vec::new();
        for (moment, (begun, ended)) in moments {
            standing.extend(begun);
            for at in ended {
                let _there: bool = standing.remove(&at);
            }
            let first = standing.first().copied();
            if changes.last().is_none_or(|(_, before)| *before != first) {
                changes.push((moment, first));
            }
        }
        Self(changes)
    }

    fn at(&self, now: Timestamp) -> Option<usize> {
        let after = self.0.partition_point(|(moment, _)| *moment <= now);
        self.0.get(after.checked_sub(1)?)?.1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Circumstances, Ground};

    const PREFIXES: [&str; 6] = ["", "a", "a/", "ab", "é", "a/b"];
    const KEYS: [&str; 8] = ["", "a", "a/", "a/b/c", "abc", "é1", "\u{c3}x", "z"];
    const NETWORKS: [&str; 5] = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
    ];
    const CLIENTS: [&str; 5] = [
        "10.1.2.3",
        "10.2.0.1",
        "::ffff:10.1.2.3",
        "2001:db8::1",
        "2001:db9::1",
    ];
    const PARTITIONS: [&str; 2] = ["fast", "secure"];
    const PURPOSES: [&str; 3] = ["care", "research", "none has it"];

    fn some_of<T: Clone + std::fmt::Debug + 'static>(all: Vec<T>) -> impl Strategy<Value = Vec<T>> {
        let most = all.len().min(2);
        prop_oneof![
            2 => Just(Vec::new()),
            1 => prop::sample::subsequence(all, 1..=most),
        ]
    }

    fn terms() -> impl Strategy<Value = Option<Terms>> {
        let networks = NETWORKS.map(|net| net.parse().unwrap()).to_vec();
        let partitions = PARTITIONS.map(|name| name.parse().unwrap()).to_vec();
        let actions = vec![Action::ObjectRead, Action::ObjectList, Action::DatasetHead];
        let terms = (
            some_of(networks),
            some_of(partitions),
            some_of(actions),
            prop::option::weighted(0.3, 1_u32..3),
        );
        prop::option::of(
            terms.prop_map(|(networks, partitions, actions, version)| Terms {
                version,
                actions,
                networks,
                partitions,
                ..Terms::default()
            }),
        )
    }

    fn covers() -> impl Strategy<Value = Vec<Cover>> {
        let one = (
            prop::sample::select(PREFIXES.to_vec()),
            0_u64..4,
            prop::option::of(0_u64..6),
            prop::option::of(prop::sample::select(PURPOSES[..2].to_vec())),
            terms(),
        );
        prop::collection::vec(one, 0..100).prop_map(|all| {
            let covers = all.into_iter().enumerate();
            covers
                .map(|(grant, (prefix, starts, ends, purpose, terms))| Cover {
                    prefix: prefix.to_owned(),
                    starts: Timestamp::from_millis(starts),
                    ends: ends.map(Timestamp::from_millis),
                    purpose: purpose.map(str::to_owned),
                    terms,
                    grant,
                })
                .collect()
        })
    }

    fn places(see: &mut dyn FnMut(&Place<'_>)) {
        let partition = PARTITIONS[0].parse().unwrap();
        let grounds = [Ground::Elsewhere, Ground::In(&partition), Ground::Unplaced];
        let clients = CLIENTS.iter().map(|text| Some(text.parse().unwrap()));
        let clients: Vec<_> = clients.chain([None]).collect();
        let purposes = [None, Some(PURPOSES[0]), Some(PURPOSES[2])];
        // Each with each would be 58,000: of every two dimensions all pairs come, by strides.
        for step in 0..1_440_usize {
            let pick = |stride: usize, of: usize| step / stride % of;
            see(&Place {
                project: "icu",
                dataset: "ecg",
                key: KEYS[pick(1, KEYS.len())],
                reach: [Reach::Key, Reach::Region, Reach::Existence][pick(8, 3)],
                now: Timestamp::from_millis(u64::try_from(pick(3, 7)).unwrap()),
                action: [Action::ObjectRead, Action::ObjectList][pick(5, 2)],
                when: Circumstances {
                    client: clients[pick(7, clients.len())],
                    purpose: purposes[pick(11, 3)],
                    version: [None, Some(1), Some(2)][pick(13, 3)],
                    ground: grounds[pick(17, 3)],
                    ..Circumstances::default()
                },
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// Whatever is granted and asked, the index finds the very grant that a walk finds.
        #[test]
        fn what_is_looked_up_is_what_a_walk_finds(covers in covers(), denies: bool) {
            let mut shelf = Shelf::new(covers, denies);
            // Short lists too.
            shelf.index = Some(Index::new(&shelf.covers, denies));
            let mut wrong = None;
            places(&mut |place| {
                let walked = shelf.covers.iter().find(|cover| cover.covers(*place, denies));
                let walked = walked.map(|cover| cover.grant);
                let found = shelf.find(place, denies);
                if found != walked {
                    wrong = Some((format!("{} {:?} {:?}", place.key, place.now, place.when), found, walked));
                }
            });
            prop_assert_eq!(wrong, None);
        }
    }

    #[test]
    fn only_long_lists_have_an_index() {
        let cover = |grant: usize| Cover {
            prefix: String::new(),
            starts: Timestamp::default(),
            ends: None,
            purpose: None,
            terms: None,
            grant,
        };
        let shelf = |count: usize| Shelf::new((0..count).map(cover).collect(), false);
        assert!(shelf(WALKED).index.is_none());
        assert!(shelf(WALKED + 1).index.is_some());
    }

    /// What an owner words does not fill the memory of whoever asks, nor make each look-up long.
    #[test]
    fn an_index_is_in_proportion_to_what_it_finds() {
        let networks = |count: u8| {
            let network = |n: u8| format!("10.{n}.0.0/16").parse().unwrap();
            (0..count).map(network).collect::<Vec<Network>>()
        };
        let indexed = |count: usize, each: u8, lengths: usize| {
            let cover = |grant: usize| Cover {
                prefix: "p".repeat(grant % lengths),
                starts: Timestamp::default(),
                ends: None,
                purpose: Some("p".to_owned()),
                terms: Some(Terms {
                    networks: networks(each),
                    ..Terms::default()
                }),
                grant,
            };
            let shelf = Shelf::new((0..count).map(cover).collect(), false);
            shelf.index.is_some()
        };
        assert!(indexed(500, 8, 64), "at the bounds");
        assert!(!indexed(500, 9, 1), "more networks than that each");
        assert!(!indexed(500, 1, 65), "more lengths of prefixes");
    }
}
