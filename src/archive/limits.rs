const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How large an archive and its parts may be, so that a hostile file cannot fill the memory.
///
/// A header that declares more than a cap is refused at once; one that declares less gains nothing, since unpacking
/// stops at what it declared. The defaults let a model of several GB through and stop a file of a few kilobytes
/// from filling the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries in the zip folder.
    pub entries: usize,
    /// Bytes of one entry, unpacked.
    pub entry_bytes: u64,
    /// Bytes of one *compressed* entry, unpacked. libtorch compresses source code only; weights are stored.
    pub inflated_bytes: u64,
    /// Bytes of all entries together, unpacked.
    pub total_bytes: u64,
    /// Bytes of all source files together.
    pub source_bytes: u64,
    /// Bytes of one pickle.
    pub pickle_bytes: u64,
    /// Opcodes of one pickle: many of them take one byte and make no node.
    pub pickle_opcodes: usize,
    /// Values of one pickle that are put into its memo.
    pub pickle_memo: usize,
    /// Bytes of one text in a pickle.
    pub pickle_text: usize,
    /// Nodes of one pickle. Held for the nodes as stored and for the tree they spell out when nothing is
    /// shared, so that walking the tree is bounded as well.
    pub pickle_nodes: usize,
    /// Longest path from a pickle's root to a leaf, in nodes. A consumer may recurse this deep.
    pub pickle_depth: usize,
    /// Bytes of one JSON document of an exported program.
    pub json_bytes: u64,
    /// Values of one such document: a few bytes of text may take a hundred in memory.
    pub json_values: usize,
}

impl Limits {
    /// For what this process wrote itself.
    #[must_use]
    pub(super) fn unbounded() -> Self {
        Limits {
            entries: usize::MAX,
            entry_bytes: u64::MAX,
            total_bytes: u64::MAX,
            ..Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            entry_bytes: 16 * GIB,
            inflated_bytes: GIB,
            total_bytes: 64 * GIB,
            source_bytes: 64 * MIB,
            pickle_bytes: 64 * MIB,
            pickle_opcodes: 16 << 20,
            pickle_memo: 4 << 20,
            pickle_text: 16 << 20,
            pickle_nodes: 4 << 20,
            pickle_depth: 512,
            json_bytes: 64 * MIB,
            json_values: 4 << 20,
        }
    }
}
