//! Pickles: what is read, what is refused, and that writing loses nothing.

use std::collections::HashMap;

use ckaprune::archive::{Limits, Node, NodeId, Pickle, PickleError, TensorRef};
use ckaprune::program::dtype::Dtype;
use proptest::prelude::*;

use super::build::*;

fn parse(body: &[u8]) -> Result<Pickle, PickleError> {
    Pickle::parse(&program(body), &Limits::default())
}

fn refusal(body: &[u8]) -> PickleError {
    parse(body).unwrap_err()
}

fn root(pickle: &Pickle) -> &Node {
    pickle.get(pickle.root())
}

/// The graph with its nodes numbered as they are met, so that equal graphs compare equal, sharing included.
fn canonical(pickle: &Pickle) -> Vec<String> {
    let order = pickle.reachable();
    let number: HashMap<NodeId, usize> = order
        .iter()
        .enumerate()
        .map(|(number, &id)| (id, number))
        .collect();
    let of = |ids: &[NodeId]| ids.iter().map(|id| number[id]).collect::<Vec<_>>();
    order
        .iter()
        .map(|&id| match pickle.get(id) {
            Node::Tuple(items) => format!("tuple {:?}", of(items)),
            Node::List(items) => format!("list {:?}", of(items)),
            Node::Dict(items) => format!(
                "dict {:?}",
                items.iter().map(|&(k, v)| of(&[k, v])).collect::<Vec<_>>()
            ),
            Node::Reduce { callable, args } => format!("reduce {:?}", of(&[*callable, *args])),
            Node::Object { class, args, state } => {
                format!(
                    "object {:?} {:?}",
                    of(&[*class, *args]),
                    of(state.as_slice())
                )
            }
            Node::PersistentId(id) => format!("persistent {:?}", of(&[*id])),
            Node::Float(value) => format!("float {:x}", value.to_bits()),
            plain => format!("{plain:?}"),
        })
        .collect()
}

/// Makes the writer start from the nodes and not from the bytes that were read.
fn touch(pickle: &mut Pickle) {
    let root = pickle.get(pickle.root()).clone();
    pickle.replace(pickle.root(), root);
}

// Reading.

#[test]
fn integers_keep_their_value_in_every_spelling() {
    let cases: [(&[u8], i64); 8] = [
        (b"K\xff", 255),
        (b"M\x00\x01", 256),
        (b"J\xff\xff\xff\xff", -1),
        (b"\x8a\x00", 0),
        (b"\x8a\x01\x80", -128),
        (b"\x8a\x02\xff\x00", 255),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", i64::MAX),
        (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80", i64::MIN),
    ];
    for (bytes, value) in cases {
        assert_eq!(root(&parse(bytes).unwrap()), &Node::Int(value));
    }
}

#[test]
fn the_spellings_of_later_protocols_are_understood() {
    let bytes = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x09__torch__\x94\x8c\x03Net\x94\x93\x94)\x81}\x94(\x8c\x01a\x94C\x02\x00\xff\x8c\x01bh\x00ub.";
    let pickle = Pickle::parse(bytes, &Limits::default()).unwrap();
    assert_eq!(pickle.class_name(pickle.root()).unwrap(), "__torch__.Net");
    let a = pickle.attribute(pickle.root(), "a").unwrap();
    assert_eq!(pickle.get(a), &Node::Bytes(vec![0, 0xff]));
    let b = pickle.attribute(pickle.root(), "b").unwrap();
    assert_eq!(pickle.str(b), Some("__torch__"));
}

#[test]
fn a_memoised_value_stays_one_node() {
    let pickle = parse(b"(]q\x07h\x07t").unwrap();
    let items = pickle.items(pickle.root()).unwrap();
    assert_eq!(items[0], items[1]);
}

#[test]
fn typed_lists_read_as_plain_values() {
    let typed = |name, items: &[Vec<u8>]| {
        let pickle = parse(&call("torch.jit._pickle", name, &[list(items)])).unwrap();
        let root = pickle.root();
        (pickle, root)
    };
    let (pickle, id) = typed("build_intlist", &[int(3), int(-1)]);
    assert_eq!(pickle.ints(id), Some(vec![3, -1]));
    let (pickle, id) = typed("build_doublelist", &[b"G\x3f\xe0\0\0\0\0\0\0".to_vec()]);
    assert_eq!(pickle.floats(id), Some(vec![0.5]));
    let (pickle, id) = typed("build_boollist", &[b"\x88".to_vec(), b"\x89".to_vec()]);
    assert_eq!(pickle.bools(id), Some(vec![true, false]));
    let tagged = parse(&call(
        "torch.jit._pickle",
        "restore_type_tag",
        &[list(&[int(5)]), text("List[int]")],
    ))
    .unwrap();
    assert_eq!(tagged.ints(tagged.root()), Some(vec![5]));
    assert_eq!(tagged.floats(tagged.root()), None);
}

#[test]
fn a_tensor_is_read_as_a_view_of_its_storage() {
    let pickle = parse(&tensor("HalfStorage", "7", 100, 4, &[2, 3], &[1, 2])).unwrap();
    let tensor = pickle.tensor(pickle.root()).unwrap().unwrap();
    let expected = TensorRef {
        storage: "7".into(),
        dtype: Dtype::Float16,
        storage_len: 100,
        offset: 4,
        shape: vec![2, 3],
        strides: vec![1, 2],
        requires_grad: true,
        device: "cpu".into(),
    };
    assert_eq!(
        (
            tensor.numel(),
            tensor.storage_bytes(),
            tensor.is_contiguous()
        ),
        (6, 200, false)
    );
    assert_eq!(tensor, expected);
}

// Refusing.

#[test]
fn a_program_cut_anywhere_is_called_truncated() {
    let bytes = program(&object(
        "__torch__",
        "Net",
        &[("w", tensor("FloatStorage", "0", 6, 0, &[6], &[1]))],
    ));
    for len in 0..bytes.len() {
        let error = Pickle::parse(&bytes[..len], &Limits::default()).unwrap_err();
        assert!(
            matches!(error, PickleError::Truncated { offset } if offset == len),
            "{len}: {error:?}"
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    assert_eq!(refusal(b"N.N"), PickleError::TrailingBytes { offset: 4 });
}

#[test]
fn only_binary_protocols_are_read() {
    for bytes in [&b"N."[..], b"\x80\x01N.", b"\x80\x06N."] {
        assert_eq!(
            Pickle::parse(bytes, &Limits::default()).unwrap_err(),
            PickleError::Protocol
        );
    }
}

#[test]
fn an_opcode_that_could_execute_is_refused_with_its_place() {
    // INST, OBJ, EXT1, PERSID
    for opcode in [b'i', b'o', b'\x82', b'P'] {
        assert_eq!(
            refusal(&[b'N', opcode]),
            PickleError::Opcode { offset: 3, opcode }
        );
    }
}

#[test]
fn an_opcode_without_its_operands_is_refused() {
    let cases: [&[u8]; 12] = [
        b"a", b"NNa", b"e", b"N(e", b"](Nu", b"}(Nu", b"N(\x85", b"R", b"NNb", b"q\x00", b"NN",
        b"N(",
    ];
    for body in cases {
        assert!(
            matches!(refusal(body), PickleError::Stack { .. }),
            "{body:?}: {:?}",
            refusal(body)
        );
    }
}

#[test]
fn an_object_gets_its_state_once() {
    let twice = [object("__torch__", "Net", &[]), b"}b".to_vec()].concat();
    assert!(matches!(
        refusal(&twice),
        PickleError::Stack { opcode: b'b', .. }
    ));
}

#[test]
fn an_unset_memo_is_refused() {
    assert_eq!(refusal(b"h\x05"), PickleError::Memo { offset: 2, id: 5 });
}

#[test]
fn text_is_utf8() {
    assert_eq!(
        refusal(b"X\x01\x00\x00\x00\xff"),
        PickleError::Text { offset: 2 }
    );
}

#[test]
fn an_integer_wider_than_torchscript_has_is_refused() {
    assert_eq!(
        refusal(b"\x8a\x09\0\0\0\0\0\0\0\0\x01"),
        PickleError::WideInteger { offset: 2 }
    );
}

#[test]
fn names_off_the_list_are_refused() {
    let names = [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_import_dotted_name"),
        ("__torch__evil", "Net"),
        ("torch.jit._pickle", "os"),
    ];
    for (module, name) in names {
        assert_eq!(
            refusal(&global(module, name)),
            PickleError::Global {
                name: format!("{module}.{name}")
            }
        );
    }
}

#[test]
fn names_are_used_as_what_they_are() {
    let storage_called = call("torch", "FloatStorage", &[]);
    let function_instantiated = [
        global("torch._utils", "_rebuild_tensor_v2"),
        b")\x81".to_vec(),
    ]
    .concat();
    for body in [
        &storage_called[..],
        &function_instantiated,
        b"N)R",
        b"N)\x81",
    ] {
        assert!(
            matches!(refusal(body), PickleError::Global { .. }),
            "{body:?}"
        );
    }
}

#[test]
fn a_value_that_contains_itself_is_refused() {
    assert_eq!(refusal(b"]q\x00h\x00a"), PickleError::Cycle);
    assert_eq!(
        refusal(b"}q\x00X\x01\x00\x00\x00ah\x00s"),
        PickleError::Cycle
    );
}

#[test]
fn a_key_twice_is_refused() {
    let body = object("__torch__", "Net", &[("a", int(1)), ("a", int(2))]);
    assert_eq!(
        refusal(&body),
        PickleError::DuplicateKey { key: "a".into() }
    );
}

#[test]
fn each_cap_of_a_pickle_holds() {
    let small = Limits {
        pickle_bytes: 100,
        pickle_nodes: 40,
        pickle_depth: 10,
        pickle_opcodes: 60,
        pickle_memo: 20,
        pickle_text: 8,
        ..Limits::default()
    };
    let parse = |body: &[u8]| Pickle::parse(&program(body), &small).unwrap_err();
    assert_eq!(
        parse(&[b'N'; 101]),
        PickleError::TooLong {
            len: 104,
            limit: 100
        }
    );
    assert_eq!(parse(&[b'N'; 41]), PickleError::TooManyNodes { limit: 40 });
    assert_eq!(
        parse(&[&b")"[..], &[b'\x85'; 10]].concat()),
        PickleError::TooDeep { limit: 10 }
    );
    let fetches = [&b"Nq\0"[..], &b"h\0".repeat(30)[..]].concat();
    let few = Limits {
        pickle_opcodes: 30,
        ..small.clone()
    };
    assert_eq!(
        Pickle::parse(&program(&fetches), &few).unwrap_err(),
        PickleError::TooManyOpcodes { limit: 30 }
    );
    assert_eq!(
        parse(&[&b"N"[..], &[b'\x94'; 21]].concat()),
        PickleError::MemoTooLarge { limit: 20 }
    );
    for long in [text("nine byte"), b"B\x09\0\0\0nine byte".to_vec()] {
        assert_eq!(
            parse(&[&b"N"[..], &long].concat()),
            PickleError::TextTooLong {
                offset: 3,
                limit: 8
            }
        );
    }
}

#[test]
fn names_that_would_steer_a_terminal_are_refused() {
    let clears_the_screen = object("__torch__", "Net", &[("\x1b[2J", int(1))]);
    assert!(matches!(
        refusal(&clears_the_screen),
        PickleError::UnprintableName { .. }
    ));
    let class = object("__torch__.\x1b[2J", "Net", &[]);
    assert!(matches!(
        refusal(&class),
        PickleError::UnprintableName { .. }
    ));
}

#[test]
fn sharing_cannot_spell_out_an_endless_tree() {
    // Each level holds the one below twice: 30 levels are 2^30 values.
    let level = |n: u8| [b'q', n, b'h', n, b'\x86'];
    let body = [b")".to_vec(), (0..30).flat_map(level).collect()].concat();
    assert_eq!(
        refusal(&body),
        PickleError::TooManyNodes {
            limit: Limits::default().pickle_nodes
        }
    );
}

#[test]
fn nesting_far_beyond_any_stack_is_refused_without_overflow() {
    let body = [&b")"[..], &vec![b'\x85'; 1 << 20]].concat();
    assert_eq!(
        refusal(&body),
        PickleError::TooDeep {
            limit: Limits::default().pickle_depth
        }
    );
}

// Editing and writing.

fn two_layers() -> Pickle {
    let class = global("__torch__", "Layer");
    let first = [
        &class[..],
        b"q\x00)\x81}q\x01(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bK\x02ub",
    ]
    .concat();
    let second = b"h\x00)\x81h\x01b".to_vec();
    parse(&object(
        "__torch__",
        "Net",
        &[("one", first), ("two", second)],
    ))
    .unwrap()
}

#[test]
fn an_edit_of_one_object_leaves_those_that_share_with_it_alone() {
    let mut pickle = two_layers();
    let child = |pickle: &Pickle, name| pickle.attribute(pickle.root(), name).unwrap();
    let one = child(&pickle, "one");
    assert!(pickle.remove_attribute(one, "a"));
    assert!(!pickle.remove_attribute(one, "a"));
    assert!(pickle.set_class(one, "__torch__.pruned.Layer"));
    let new = pickle.add(Node::Int(9));
    assert!(pickle.set_attribute(one, "b", new));
    assert!(pickle.set_attribute(one, "c", new));

    let pickle = Pickle::parse(&pickle.to_bytes().unwrap(), &Limits::default()).unwrap();
    let read = |name| {
        let id = child(&pickle, name);
        let attributes: Vec<_> = pickle
            .attributes(id)
            .map(|(key, value)| (key, pickle.int(value).unwrap()))
            .collect();
        (pickle.class_name(id).unwrap(), attributes)
    };
    assert_eq!(
        read("one"),
        ("__torch__.pruned.Layer".into(), vec![("b", 9), ("c", 9)])
    );
    assert_eq!(
        read("two"),
        ("__torch__.Layer".into(), vec![("a", 1), ("b", 2)])
    );
}

#[test]
fn an_untouched_pickle_is_written_as_it_was_read() {
    // Spelt as no writer of ours would.
    let bytes = program(b"(J\x01\x00\x00\x00q\x20t");
    assert_eq!(
        Pickle::parse(&bytes, &Limits::default())
            .unwrap()
            .to_bytes()
            .unwrap(),
        bytes
    );
}

#[test]
fn a_cycle_made_by_an_edit_is_not_written() {
    let mut pickle = parse(b"]").unwrap();
    let root = pickle.root();
    pickle.replace(root, Node::List(vec![root]));
    assert_eq!(pickle.to_bytes().unwrap_err(), PickleError::Cycle);
}

#[test]
fn more_shared_values_than_a_byte_counts_survive() {
    let texts: Vec<Vec<u8>> = (0..600_u32)
        .map(|n| [text(&n.to_string()), [&b"r"[..], &n.to_le_bytes()].concat()].concat())
        .collect();
    let again: Vec<Vec<u8>> = (0..600_u32)
        .map(|n| [&b"j"[..], &n.to_le_bytes()].concat())
        .collect();
    let mut pickle = parse(&list(&[texts, again].concat())).unwrap();
    let before = canonical(&pickle);
    touch(&mut pickle);
    let after = Pickle::parse(&pickle.to_bytes().unwrap(), &Limits::default()).unwrap();
    assert_eq!(canonical(&after), before);
}

/// What a new node is and, as numbers taken modulo the nodes there are, what it holds.
#[derive(Debug, Clone)]
enum Plan {
    Leaf(Node),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Dict(Vec<(String, usize)>),
    Reduce(usize),
    Object(Option<usize>),
    PersistentId(usize),
}

fn plan() -> impl Strategy<Value = Plan> {
    let part = || any::<usize>();
    let parts = || prop::collection::vec(part(), 0..5);
    let leaf = prop_oneof![
        Just(Node::None),
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(Node::Int),
        (-300_i64..70_000).prop_map(Node::Int),
        any::<f64>().prop_map(Node::Float),
        ".{0,8}".prop_map(Node::Str),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Node::Bytes),
        Just(Node::Global {
            module: "torch".into(),
            name: "FloatStorage".into()
        }),
    ];
    prop_oneof![
        3 => leaf.prop_map(Plan::Leaf),
        1 => parts().prop_map(Plan::Tuple),
        1 => parts().prop_map(Plan::List),
        1 => prop::collection::btree_map("[a-z]{1,6}", part(), 0..5).prop_map(|items| Plan::Dict(items.into_iter().collect())),
        1 => part().prop_map(Plan::Reduce),
        1 => prop::option::of(part()).prop_map(Plan::Object),
        1 => part().prop_map(Plan::PersistentId),
    ]
}

/// Grows a graph without cycles: a node only holds earlier ones. The last node is made the root.
fn grow(plans: Vec<Plan>) -> Pickle {
    let mut pickle = parse(b"N").unwrap();
    let function = pickle.add(Node::Global {
        module: "collections".into(),
        name: "OrderedDict".into(),
    });
    let class = pickle.add(Node::Global {
        module: "__torch__.a".into(),
        name: "B".into(),
    });
    let mut ids = vec![pickle.add(Node::Tuple(Vec::new()))];
    for plan in plans {
        let of = |part: usize| ids[part % ids.len()];
        let all = |parts: Vec<usize>| parts.into_iter().map(of).collect();
        let node = match plan {
            Plan::Leaf(node) => node,
            Plan::Tuple(parts) => Node::Tuple(all(parts)),
            Plan::List(parts) => Node::List(all(parts)),
            Plan::Dict(items) => Node::Dict(
                items
                    .into_iter()
                    .map(|(key, part)| (pickle.add(Node::Str(key)), of(part)))
                    .collect(),
            ),
            Plan::Reduce(part) => Node::Reduce {
                callable: function,
                args: of(part),
            },
            Plan::Object(state) => Node::Object {
                class,
                args: ids[0],
                state: state.map(of),
            },
            Plan::PersistentId(part) => Node::PersistentId(of(part)),
        };
        ids.push(pickle.add(node));
    }
    pickle.replace(
        pickle.root(),
        Node::Tuple(ids.into_iter().rev().take(3).collect()),
    );
    pickle
}

proptest! {
    #[test]
    fn any_graph_survives_a_round_trip(plans in prop::collection::vec(plan(), 0..40)) {
        let pickle = grow(plans);
        let limits = Limits { pickle_nodes: usize::MAX, ..Limits::default() };
        let again = Pickle::parse(&pickle.to_bytes().unwrap(), &limits).unwrap();
        prop_assert_eq!(canonical(&again), canonical(&pickle));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    /// Opcodes only, so that more than the first few are reached.
    #[test]
    fn any_program_is_read_without_a_panic(
        body in prop::collection::vec(prop::sample::select(&b"N\x88(])}t\x85\x86\x87ldaesuR\x81bQq\x00h\x00\x94\x93"[..]), 0..60)
    ) {
        if let Ok(mut pickle) = parse(&body) {
            let before = canonical(&pickle);
            touch(&mut pickle);
            let after = Pickle::parse(&pickle.to_bytes().unwrap(), &Limits::default()).unwrap();
            prop_assert_eq!(canonical(&after), before);
        }
    }
}
