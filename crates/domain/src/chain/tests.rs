#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

fn hex(hash: &Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The leaves of the published test vectors of Certificate Transparency.
const INPUTS: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// MTH as section 2.1 of RFC 6962 writes it.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [one] => *one,
        _ => {
            let mut left = 1;
            while left * 2 < leaves.len() {
                left *= 2;
            }
            let (a, b) = (naive(&leaves[..left]), naive(&leaves[left..]));
            Hash(Sha256::new().chain_update([1]).chain_update(a.0).chain_update(b.0).finalize().into())
        }
    }
}

#[test]
fn the_roots_are_those_of_the_published_vectors() {
    let mut tree = Tree::default();
    assert_eq!(hex(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (input, root) in INPUTS.iter().zip(ROOTS) {
        tree.push(leaf(input));
        assert_eq!(hex(&tree.root()), root);
    }
}

#[test]
fn a_link_is_the_hash_of_the_link_before_it_and_the_leaf() {
    let mut chain = Chain::default();
    assert_eq!(chain.link(), Hash::ZERO);
    chain.push(b"one");
    let first = Hash::of(&[&[0; 32][..], &Hash::of(b"\0one").0].concat());
    assert_eq!(chain.link(), first);
    chain.push(b"two");
    assert_eq!(chain.link(), Hash::of(&[first.0, Hash::of(b"\0two").0].concat()));
    assert_eq!(chain.head(), Head { events: 2, link: chain.link(), root: chain.tree().root() });
}

proptest! {
    #[test]
    fn a_tree_that_grows_and_rests_has_the_root_of_the_definition(
        inputs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..200),
        rest in 0usize..200,
    ) {
        let leaves: Vec<Hash> = inputs.iter().map(|input| leaf(input)).collect();
        let mut chain = Chain::default();
        for (count, leaf) in leaves.iter().enumerate() {
            if count == rest {
                let peaks = chain.tree().peaks().to_vec();
                chain = Chain::resume(chain.events(), chain.link(), peaks).unwrap();
            }
            chain.push_leaf(*leaf);
        }
        prop_assert_eq!(chain.tree().root(), naive(&leaves));
        prop_assert_eq!(chain.events(), leaves.len() as u64);
    }

    #[test]
    fn a_path_leads_from_its_leaf_to_the_root_and_from_nothing_else(
        size in 1u64..150,
        picks in prop::collection::btree_set(0u64..200, 1..6),
    ) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf(&n.to_le_bytes())).collect();
        let mut builder = PathBuilder::new(size, picks.iter().copied());
        leaves.iter().for_each(|leaf| builder.push(*leaf));
        let (root, paths) = builder.finish().unwrap();
        prop_assert_eq!(root, naive(&leaves));
        let within: Vec<u64> = picks.into_iter().filter(|pick| *pick < size).collect();
        prop_assert_eq!(paths.keys().copied().collect::<Vec<_>>(), within);
        for (place, path) in &paths {
            let own = leaves[usize::try_from(*place).unwrap()];
            prop_assert_eq!(root_of_path(size, *place, &own, path), Some(root));
            // Another leaf, another place, a path that was cut.
            prop_assert_ne!(root_of_path(size, *place, &leaf(b"other"), path), Some(root));
            if size > 1 {
                let other = if *place == 0 { 1 } else { *place - 1 };
                prop_assert_ne!(root_of_path(size, other, &own, path), Some(root));
                prop_assert_eq!(root_of_path(size, *place, &own, &path[1..]), None);
            }
        }
        prop_assert_eq!(root_of_path(size, size, &Hash::ZERO, &[]), None);
    }
}

#[test]
fn a_tree_goes_on_only_from_as_many_peaks_as_it_has() {
    assert_eq!(Tree::resume(5, vec![Hash::ZERO]), None);
    assert!(Tree::resume(5, vec![Hash::ZERO; 2]).is_some());
    assert_eq!(Chain::resume(0, Hash::ZERO, Vec::new()), Some(Chain::default()));
}
