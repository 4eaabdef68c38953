/// Why bytes are not a pickle that TorchScript could have written, or a graph cannot be written as one.
///
/// Offsets are in bytes from the start of the pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end before the program does.
    #[error(
        "the pickle ends at byte {offset}, before its STOP; copy, download or export the model again"
    )]
    Truncated {
        /// Where more bytes were needed.
        offset: usize,
    },
    /// Bytes follow the end of the program.
    #[error("the pickle goes on after its STOP at byte {offset}; export the model again")]
    TrailingBytes {
        /// Where they start.
        offset: usize,
    },
    /// The first opcode is not PROTO, or names a protocol outside 2 to 5.
    #[error("this is not a binary pickle of protocol 2 to 5; export the model again")]
    Protocol,
    /// An opcode that TorchScript does not use.
    #[error(
        "opcode 0x{opcode:02x} at byte {offset} is none that TorchScript writes; export the model again with torch.jit.save"
    )]
    Opcode {
        /// Where it is.
        offset: usize,
        /// The opcode.
        opcode: u8,
    },
    /// An opcode takes more, or other things, from the stack than there are.
    #[error(
        "opcode 0x{opcode:02x} at byte {offset} does not fit what comes before it; the pickle is damaged: export the model again"
    )]
    Stack {
        /// Where it is.
        offset: usize,
        /// The opcode.
        opcode: u8,
    },
    /// A value is fetched from the memo that was never put there.
    #[error(
        "byte {offset} refers to memo {id}, which is not set; the pickle is damaged: export the model again"
    )]
    Memo {
        /// Where it is.
        offset: usize,
        /// The number asked for.
        id: u64,
    },
    /// Text is not UTF-8.
    #[error(
        "the text at byte {offset} is not UTF-8; the pickle is damaged: export the model again"
    )]
    Text {
        /// Where it is.
        offset: usize,
    },
    /// An integer of more than 64 bits.
    #[error(
        "the integer at byte {offset} has more than 64 bits, which TorchScript has no type for; export the model again"
    )]
    WideInteger {
        /// Where it is.
        offset: usize,
    },
    /// A name outside the allow-list, or one used as something it is not.
    #[error(
        "{} is not something a TorchScript model refers to; if you trust the file, load it in Python and export the \
         network with torch.jit.script(model).save(\"model.pt\")",
        name.escape_debug()
    )]
    Global {
        /// `module.name`
        name: String,
    },
    /// More bytes than the cap.
    #[error("the pickle has {len} bytes, more than the {limit} allowed; is this a model?")]
    TooLong {
        /// Its length.
        len: u64,
        /// The cap.
        limit: u64,
    },
    /// More opcodes than the cap.
    #[error("the pickle has more than the {limit} opcodes allowed; is this a model?")]
    TooManyOpcodes {
        /// The cap.
        limit: usize,
    },
    /// More memo entries than the cap.
    #[error("the pickle remembers more than the {limit} values allowed; is this a model?")]
    MemoTooLarge {
        /// The cap.
        limit: usize,
    },
    /// A text longer than the cap.
    #[error("the text at byte {offset} is longer than the {limit} bytes allowed; is this a model?")]
    TextTooLong {
        /// Where it is.
        offset: usize,
        /// The cap.
        limit: usize,
    },
    /// More nodes than the cap, shared ones counted as often as they are referred to.
    #[error("the pickle spells out more than the {limit} values allowed; is this a model?")]
    TooManyNodes {
        /// The cap.
        limit: usize,
    },
    /// Nested deeper than the cap.
    #[error("the pickle is nested deeper than the {limit} levels allowed; is this a model?")]
    TooDeep {
        /// The cap.
        limit: usize,
    },
    /// A value contains itself.
    #[error("a value contains itself, which TorchScript cannot express; export the model again")]
    Cycle,
    /// A name of a class or an attribute with control characters, which would steer the terminal it is shown on.
    #[error("the name {name:?} holds control characters; rename it and export the model again")]
    UnprintableName {
        /// The name.
        name: String,
    },
    /// A dictionary, or an object's attributes, name one key twice.
    #[error(
        "the key {key:?} occurs twice, so readers would disagree on its value; export the model again"
    )]
    DuplicateKey {
        /// The key.
        key: String,
    },
}
