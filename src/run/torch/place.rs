//! The device that is used in the place of those that an archive names: exports keep the one they were made on.

use anyhow::Result;
use tch::Device;

use crate::archive::{Archive, Node, NodeId, Pickle};
use crate::program::ast::{Arg, CallId, Expr, File, Item, Member, unquoted, walk_mut};
use crate::program::{parse, print};

const DEVICE: &str = "torch.device";
/// `x.cuda()`
const TO_GPU: &str = "torch.cuda";

/// The archive with this device in the place of each that its code names, makes of a text or keeps in an attribute, and
/// with a move to it in the place of each to a GPU.
pub(super) fn on_device(archive: &Archive, device: Device) -> Result<Archive> {
    let here = match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    };
    let mut placed = archive.clone();
    for (file, text) in archive.sources() {
        if !(text.contains(DEVICE) || text.contains(TO_GPU)) {
            continue;
        }
        let mut code = parse(text)?;
        if place(&mut code, &here) {
            placed.set_source(file, print(&code));
        }
    }
    place_kept(&mut placed, &here);
    Ok(placed)
}

/// Places the devices of one piece of code; `false` if there are none.
fn place(code: &mut File, here: &str) -> bool {
    let mut changed = false;
    let mut change = |expression: &mut Expr| changed |= place_one(expression, here);
    for item in &mut code.items {
        match item {
            Item::Statement(statement) => walk_mut(std::slice::from_mut(statement), &mut change),
            Item::Function(function) => walk_mut(&mut function.body, &mut change),
            Item::Class(class) => {
                for member in &mut class.members {
                    match member {
                        Member::Method(method) => walk_mut(&mut method.body, &mut change),
                        Member::Field(field) => {
                            field
                                .values
                                .iter_mut()
                                .for_each(|v| v.walk_mut(&mut change));
                        }
                        Member::Pass => {}
                    }
                }
            }
        }
    }
    changed
}

fn place_one(expression: &mut Expr, here: &str) -> bool {
    let Expr::Call { callee, args, .. } = expression else {
        return false;
    };
    match (callee.dotted().as_deref(), args.first().map(|a| &a.value)) {
        (Some(DEVICE), Some(Expr::Str(named))) if !moves(unquoted(named)) => false,
        (Some(DEVICE), Some(_)) => {
            *args = vec![argument(Expr::Str(format!("\"{here}\"")))];
            true
        }
        (Some(TO_GPU), Some(_)) => {
            args.push(argument(device(here)));
            **callee = Expr::Name("torch.to".into());
            true
        }
        _ => false,
    }
}

/// Whether another device may stand in the place of this one: tensors of device `meta` hold no numbers.
fn moves(named: &str) -> bool {
    let kind = named.split_once(':').map_or(named, |(kind, _)| kind);
    ["cpu", "cuda", "mps", "xpu"].contains(&kind)
}

fn device(here: &str) -> Expr {
    Expr::Call {
        id: CallId(0),
        callee: Box::new(Expr::Name(DEVICE.into())),
        args: vec![argument(Expr::Str(format!("\"{here}\"")))],
        trailing_comma: false,
    }
}

fn argument(value: Expr) -> Arg {
    Arg { name: None, value }
}

/// Places the devices that modules keep as attributes.
fn place_kept(archive: &mut Archive, here: &str) {
    for id in kept_devices(archive.data()) {
        let data = archive.data_mut();
        let Node::Reduce { callable, .. } = *data.get(id) else {
            continue;
        };
        let name = data.add(Node::Str(here.to_owned()));
        let args = data.add(Node::Tuple(vec![name]));
        data.replace(id, Node::Reduce { callable, args });
    }
}

fn kept_devices(data: &Pickle) -> Vec<NodeId> {
    let is_device = |id: &NodeId| {
        let Node::Reduce { callable, args } = data.get(*id) else {
            return false;
        };
        let Node::Global { module, name } = data.get(*callable) else {
            return false;
        };
        let kept = data.items(*args).and_then(|args| data.str(*args.first()?));
        module == "torch" && name == "device" && kept.is_some_and(moves)
    };
    data.reachable().into_iter().filter(is_device).collect()
}
