//! Exceptions of libtorch: told in our words, and in its own to those who ask.

use ckaprune::archive::Archive;
use ckaprune::run::failure::{Cause, Failure};
use ckaprune::run::torch::explain;
use tch::{CModule, Device, Kind, TchError, Tensor};

use crate::place::{Place, fixture};

fn cause<T>(result: Result<T, TchError>) -> Cause {
    let error = explain(result.err().expect("libtorch does what it cannot"));
    error.downcast::<Failure>().unwrap().cause
}

/// The fixture `plain_scripted.pt` with another beginning of `forward`.
fn edited(statements: &str) -> Archive {
    let mut archive = Archive::open(&fixture("plain_scripted.pt")).unwrap();
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let (head, body) = text.split_once("    classifier = ").unwrap();
    let text = format!("{head}{statements}    classifier = {body}");
    archive.set_source(file, text);
    archive
}

fn load(archive: &Archive) -> Result<CModule, TchError> {
    let bytes = archive.to_bytes().unwrap();
    CModule::load_data(&mut bytes.as_slice())
}

/// What libtorch really says of each.
#[test]
fn causes_are_known_by_what_libtorch_says() {
    let cpu = (Kind::Float, Device::Cpu);
    let zeros = |shape: &[i64]| Tensor::f_zeros(shape, cpu).unwrap();
    // More than an address has room for, so that nothing is taken.
    let much = 1i64 << 47;
    assert_eq!(
        cause(Tensor::f_empty([much], cpu)),
        Cause::NoMemory(Some(4 << 47))
    );
    assert_eq!(cause(zeros(&[2, 3]).f_mm(&zeros(&[2, 3]))), Cause::Shapes);
    assert_eq!(cause(zeros(&[2, 3]).f_add(&zeros(&[2, 4]))), Cause::Shapes);
    assert_eq!(cause(zeros(&[2, 3]).f_view([4, 4])), Cause::Shapes);
    let whole_numbers = Tensor::f_zeros([2, 2], (Kind::Int64, Device::Cpu)).unwrap();
    let softmax = cause(whole_numbers.f_softmax(-1, Kind::Int64));
    assert!(matches!(softmax, Cause::NoKernel(_)), "{softmax:?}");

    let input = zeros(&[1, 3, 8, 8]);
    let unknown = edited("    boxes = ops.torchvision.nms(x, x, 0.5)\n");
    assert_eq!(
        cause(load(&unknown)),
        Cause::UnknownOperator("torchvision::nms".into())
    );
    let raises = edited("    ops.prim.RaiseException(\"not today\", \"builtins.ValueError\")\n");
    assert_eq!(
        cause(load(&raises).unwrap().forward_ts(&[&input])),
        Cause::Raised("not today".into())
    );
    let whole = load(&edited("")).unwrap();
    assert_eq!(
        cause(whole.forward_ts(&[zeros(&[1, 2, 8, 8])])),
        Cause::Shapes
    );
}

/// The network raises what no analysis can foresee.
#[test]
fn a_network_that_raises_is_quoted_and_libtorch_only_for_those_who_ask() {
    let place = Place::with_data(&[]);
    let archive = edited(
        "    if bool(torch.gt(torch.max(x), -1000.)):\n      ops.prim.RaiseException(\"not\\033[2J today\", \
         \"builtins.ValueError\")\n    else:\n      pass\n",
    );
    place.write("raises.pt", archive.to_bytes().unwrap());
    let eval = "eval --model raises.pt --data data.npz --device cpu --quiet";
    let said = place.refused(eval);
    assert!(
        said.ends_with(
            "error: raises.pt: the network itself refuses these images: “not[2J today” (--verbose shows what \
             libtorch says)\n"
        ),
        "{said}"
    );
    let said = place.run(&format!("{eval} --verbose"));
    assert_eq!(said.code, 2);
    let (ours, theirs) = said.stderr.split_once("\nlibtorch says:\n").unwrap();
    assert_eq!(
        ours,
        "error: raises.pt: the network itself refuses these images: “not[2J today”"
    );
    assert!(theirs.contains("TorchScript interpreter"), "{theirs}");
    assert!(!theirs.contains('\x1b'), "{theirs}");
}

#[test]
fn every_command_that_runs_a_network_can_be_verbose() {
    let place = Place::with(&[]);
    for command in [
        "inspect", "score", "prune", "remove", "finetune", "eval", "compare",
    ] {
        let help = place.done(&format!("{command} --help")).stdout;
        assert!(help.contains("--verbose"), "{command}");
    }
}
