//! Weights as safetensors: the same numbers under the archive's own names.

mod common;

use ckaprune::archive::Section;
use ckaprune::archive::weights::to_safetensors;
use ckaprune::program::dtype::Dtype;
use safetensors::SafeTensors;

use common::{archives, fixture, open};

#[test]
fn every_parameter_is_there_under_its_own_name_with_its_own_bytes() {
    let archive = open(&fixture("basic_scripted.pt"));
    let network = archive.network().unwrap();
    let bytes = to_safetensors(&archive).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let mut parameters = 0;
    for (module, attribute, info) in network.modules.tensors(ckaprune::program::ModuleTree::ROOT) {
        let path = &network.modules.get(module).path;
        let found = weights.tensor(&format!("{path}.{attribute}")).unwrap();
        let shape: Vec<i64> = found.shape().iter().map(|n| *n as i64).collect();
        assert_eq!(shape, info.shape, "{path}.{attribute}");
        let object = archive.object(path).unwrap();
        let node = archive.data().attribute(object, attribute).unwrap();
        let tensor = archive.data().tensor(node).unwrap().unwrap();
        assert!(tensor.is_contiguous());
        let storage = archive.storage(Section::Data, &tensor.storage).unwrap();
        let start = (tensor.offset * tensor.dtype.size()) as usize;
        assert_eq!(
            found.data(),
            &storage[start..start + found.data().len()],
            "{path}.{attribute}"
        );
        parameters += usize::from(info.parameter);
    }
    assert!(parameters > 10);
}

#[test]
fn whatever_an_archive_holds_is_written_or_refused_by_name() {
    for path in archives() {
        let archive = open(&path);
        let network = archive.network().unwrap();
        let holds_quantised = network
            .modules
            .tensors(ckaprune::program::ModuleTree::ROOT)
            .any(|(_, _, t)| matches!(t.dtype, Dtype::QInt8 | Dtype::QUInt8 | Dtype::QInt32));
        match to_safetensors(&archive) {
            Ok(bytes) => {
                let weights = SafeTensors::deserialize(&bytes).unwrap();
                assert!(
                    !weights.is_empty() || network.modules.iter().count() == 1,
                    "{}",
                    path.display()
                );
            }
            Err(error) => assert!(holds_quantised, "{}: {error}", path.display()),
        }
    }
}
