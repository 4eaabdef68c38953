//! Small archives: pickles assembled opcode by opcode, zipped into a folder.

use std::io::{Cursor, Write};

use ckaprune::archive::{Archive, ArchiveError, Limits};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub fn text(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [b"X", &len.to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(value: i32) -> Vec<u8> {
    [b"J", &value.to_le_bytes()[..]].concat()
}

pub fn long(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"](", &items.concat()[..], b"e"].concat()
}

pub fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(args), b"R".to_vec()].concat()
}

pub fn object(module: &str, name: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, value)| [text(name), value.clone()].concat())
        .collect();
    [&global(module, name)[..], b")\x81}(", &attributes, b"ub"].concat()
}

pub fn ints(values: &[i64]) -> Vec<u8> {
    tuple(&values.iter().map(|&value| long(value)).collect::<Vec<_>>())
}

/// `_rebuild_tensor_v2` over the storage `key` of `len` elements.
pub fn tensor(
    class: &str,
    key: &str,
    len: i64,
    offset: i64,
    shape: &[i64],
    strides: &[i64],
) -> Vec<u8> {
    let id = tuple(&[
        text("storage"),
        global("torch", class),
        text(key),
        text("cpu"),
        long(len),
    ]);
    let storage = [id, b"Q".to_vec()].concat();
    let hooks = call("collections", "OrderedDict", &[]);
    let args = [
        storage,
        long(offset),
        ints(shape),
        ints(strides),
        b"\x88".to_vec(),
        hooks,
    ];
    call("torch._utils", "_rebuild_tensor_v2", &args)
}

pub fn program(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

/// An archive in the making: entries below `net/`.
#[derive(Clone)]
pub struct Files(pub Vec<(String, Vec<u8>, CompressionMethod)>);

impl Files {
    /// A module with a 2×3 `weight` and a child `fc` whose class has its own source file.
    pub fn net() -> Self {
        let weight = tensor("FloatStorage", "0", 6, 0, &[2, 3], &[3, 1]);
        let child = object(
            "__torch__.nn",
            "Fc",
            &[("bias", tensor("FloatStorage", "1", 2, 0, &[2], &[1]))],
        );
        let root = object("__torch__", "Net", &[("weight", weight), ("fc", child)]);
        let mut files = Self(Vec::new());
        files.put("data/0", &[1; 24]);
        files.put("data/1", &[2; 8]);
        files.put("data.pkl", &program(&root));
        files.deflate("code/__torch__.py", b"class Net(Module):\n  pass\n");
        files.put("code/__torch__.py.debug_pkl", b"positions");
        files.deflate("code/__torch__/nn.py", b"class Fc(Module):\n  pass\n");
        files.put("code/__torch__/nn.py.debug_pkl", b"positions");
        files.put("constants/0", &[3; 8]);
        files.put(
            "constants.pkl",
            &program(&tuple(&[tensor("LongStorage", "0", 1, 0, &[], &[])])),
        );
        files.put("version", b"3\n");
        files.put("byteorder", b"little");
        files.put(".data/serialization_id", b"0123");
        files
    }

    /// [`net`](Self::net) with another `data.pkl`.
    pub fn with_data(body: &[u8]) -> Self {
        Self::net().with("data.pkl", &program(body))
    }

    pub fn put(&mut self, name: &str, content: &[u8]) {
        self.0.push((
            format!("net/{name}"),
            content.to_vec(),
            CompressionMethod::Stored,
        ));
    }

    pub fn deflate(&mut self, name: &str, content: &[u8]) {
        self.0.push((
            format!("net/{name}"),
            content.to_vec(),
            CompressionMethod::Deflated,
        ));
    }

    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        self = self.without(name);
        self.put(name, content);
        self
    }

    /// Without the entry, or the folder when `name` ends in a slash.
    pub fn without(mut self, name: &str) -> Self {
        let name = format!("net/{name}");
        self.0.retain(|(entry, ..)| {
            *entry != name && !(name.ends_with('/') && entry.starts_with(&name))
        });
        self
    }

    pub fn zip(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content, method) in &self.0 {
            zip.start_file(
                name,
                SimpleFileOptions::default().compression_method(*method),
            )
            .unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    pub fn open(&self) -> Result<Archive, ArchiveError> {
        open(self.zip())
    }
}

pub fn open(bytes: Vec<u8>) -> Result<Archive, ArchiveError> {
    Archive::from_bytes(bytes, &Limits::default())
}

/// Offset of the central directory's header of `name`.
pub fn directory_header(zip: &[u8], name: &str) -> usize {
    let starts = zip
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| bytes == b"PK\x01\x02")
        .map(|(at, _)| at);
    let mut named = starts.filter(|at| zip[at + 46..].starts_with(name.as_bytes()));
    named.next().unwrap()
}

/// Offset of the local header of `name`.
pub fn local_header(zip: &[u8], name: &str) -> usize {
    let at = directory_header(zip, name) + 42;
    u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize
}
