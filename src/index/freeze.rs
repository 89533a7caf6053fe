//! From hnsw_rs's points to our layout, and from the order of rows to one in which near ones lie side by side.

use std::collections::VecDeque;

use fixedbitset::FixedBitSet;
use hnsw_rs::prelude::{Distance, Hnsw};
use rustc_hash::FxHashMap;

use super::codes::Codes;
use super::graph::{Graph, NONE};
use super::pages::Pages;
use super::section::Section;

/// The layout of a graph that holds every row; each row has the place of its number.
pub(super) fn freeze<D: Distance<u8> + Send + Sync>(hnsw: &Hnsw<'_, u8, D>, codes: Codes, m: usize) -> Graph {
    let rows = hnsw.get_nb_point();
    let indexation = hnsw.get_point_indexation();
    let top = usize::from(hnsw.get_max_level_observed());
    let degree = 2 * m;
    let mut links = vec![NONE; rows * degree];
    // For each layer above the lowest its rows with their neighbours there.
    let mut layers: Vec<Vec<(u32, Vec<u32>)>> = vec![Vec::new(); top];
    let mut levels = vec![0usize; rows];
    let mut root = 0;
    for level in 0..=top {
        for point in indexation.get_layer_iterator(level) {
            let row = point.get_origin_id();
            levels[row] = level;
            if level == top {
                root = row as u32;
            }
            for (layer, neighbours) in point.get_neighborhood_id().into_iter().enumerate().take(level + 1) {
                let mut list = Vec::with_capacity(neighbours.len());
                for neighbour in neighbours {
                    let neighbour = neighbour.d_id as u32;
                    if neighbour as usize != row && !list.contains(&neighbour) {
                        list.push(neighbour);
                    }
                }
                match layer.checked_sub(1) {
                    None => {
                        let places = &mut links[row * degree..(row + 1) * degree];
                        places.iter_mut().zip(list).for_each(|(place, neighbour)| *place = neighbour);
                    }
                    Some(upper) => layers[upper].push((row as u32, list)),
                }
            }
        }
    }

    let mut slots: Vec<FxHashMap<u32, u32>> = Vec::with_capacity(top);
    let mut upper_places = Vec::new();
    for layer in &layers {
        let first = upper_places.len() as u32;
        slots.push(layer.iter().zip(first..).map(|((row, _), slot)| (*row, slot)).collect());
        upper_places.extend(layer.iter().map(|(row, _)| *row));
    }
    let mut upper_below = Vec::with_capacity(upper_places.len());
    let mut upper_links = Vec::with_capacity(upper_places.len() * m);
    for (upper, layer) in layers.iter().enumerate() {
        for (row, neighbours) in layer {
            let below = upper.checked_sub(1).and_then(|lower| slots[lower].get(row));
            upper_below.push(below.copied().unwrap_or(NONE));
            // hnsw_rs may name a neighbour that is not on this layer: the point from which the layer was entered.
            let known = neighbours.iter().filter_map(|neighbour| slots[upper].get(neighbour).copied());
            upper_links.extend(known.chain(std::iter::repeat(NONE)).take(m));
        }
    }
    let entry = slots.last().and_then(|slots| slots.get(&root)).copied().unwrap_or(NONE);
    Graph {
        shape: Section::owned(vec![degree as u32, m as u32, entry, root]),
        rows: Section::owned((0..rows as u32).collect()),
        codes,
        links: Section::owned(links),
        upper_places: Section::owned(upper_places),
        upper_below: Section::owned(upper_below),
        upper_links: Section::owned(upper_links),
    }
}

/// The same graph, its places in the order in which a breadth-first walk from the root comes to them: who is in one list is
/// then mostly side by side, in memory and in the marks of visited places. Every place must be reachable.
pub(super) fn renumbered(graph: &Graph) -> Graph {
    let (degree, root) = (graph.shape.as_slice()[0] as usize, graph.shape.as_slice()[3]);
    let links = graph.links.as_slice();
    let order = breadth_first(links, degree, root);
    let mut place_of = vec![NONE; order.len()];
    order.iter().zip(0..).for_each(|(old, new)| place_of[*old as usize] = new);
    let moved = |old: u32| if old == NONE { NONE } else { place_of[old as usize] };
    let mut moved_links = Pages::filled(links.len(), NONE);
    for (list, old) in moved_links.chunks_exact_mut(degree).zip(&order) {
        let old = &links[*old as usize * degree..(*old as usize + 1) * degree];
        list.iter_mut().zip(old).for_each(|(to, old)| *to = moved(*old));
    }
    let mut shape = graph.shape.as_slice().to_vec();
    shape[3] = moved(root);
    let rows = graph.rows.as_slice();
    Graph {
        shape: Section::owned(shape),
        rows: Section::owned(order.iter().map(|old| rows[*old as usize]).collect()),
        codes: graph.codes.reordered(&order),
        links: Section::paged(moved_links),
        upper_places: Section::owned(graph.upper_places.as_slice().iter().map(|old| moved(*old)).collect()),
        upper_below: Section::owned(graph.upper_below.as_slice().to_vec()),
        upper_links: Section::owned(graph.upper_links.as_slice().to_vec()),
    }
}

/// All places, as a breadth-first walk from the root comes to them; what it does not reach comes last.
fn breadth_first(links: &[u32], degree: usize, root: u32) -> Vec<u32> {
    let places = links.len() / degree.max(1);
    let mut seen = FixedBitSet::with_capacity(places);
    let mut order = Vec::with_capacity(places);
    for start in std::iter::once(root).chain(0..places as u32) {
        let mut queue = VecDeque::new();
        if !seen.put(start as usize) {
            queue.push_back(start);
        }
        while let Some(place) = queue.pop_front() {
            order.push(place);
            for neighbour in &links[place as usize * degree..(place as usize + 1) * degree] {
                if *neighbour != NONE && !seen.put(*neighbour as usize) {
                    queue.push_back(*neighbour);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_has_every_place_once_and_begins_at_the_root(
            lists in prop::collection::vec(prop::collection::btree_set(0u32..40, 0..4), 40), root in 0u32..40,
        ) {
            let mut links = Vec::new();
            for list in &lists {
                links.extend(list.iter().copied().chain(std::iter::repeat(NONE)).take(4));
            }
            let mut order = breadth_first(&links, 4, root);
            prop_assert_eq!(order[0], root);
            order.sort_unstable();
            prop_assert_eq!(order, (0..40).collect::<Vec<u32>>());
        }
    }
}
