//! Lists and dictionaries that change while the network runs.

use ckaprune::program::{Attribute, Known};

use crate::common::{Written, class, program};
use crate::{assert_flat, forward, with_child};

#[test]
fn a_list_that_code_fills_is_followed() {
    let net = with_child(
        "
        outputs = annotate(List[Tensor], [])
        _0 = torch.append(outputs, x)
        _1 = torch.extend(outputs, [torch.neg(x)])
        return torch.cat(outputs, 1)
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.cat(annotate(List[Tensor], [v1, v0]), 1)
        v3 = torch.relu(v2)
        return v3
        ",
    );
}

#[test]
fn all_names_of_a_list_see_its_changes_and_a_copy_does_not() {
    let net = forward(
        "
        a = [x]
        b = a
        c = torch.copy(a)
        pair = (a, x)
        _0 = torch.append(b, torch.neg(x))
        d, _1, = pair
        return torch.cat([torch.cat(d, 1), torch.cat(torch.add(c, a), 1)], 1)
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.cat([v1, v0], 1)
        v3 = torch.cat([v1, v1, v0], 1)
        v4 = torch.cat([v2, v3], 1)
        return v4
        ",
    );
}

/// Both calls read the list the caller made and changes in between.
#[test]
fn a_callee_sees_the_callers_list_and_changes_it() {
    let root = class(
        "Net",
        "
        a = [x]
        child = self.child
        y = (child).forward(a, )
        _0 = torch._set_item(a, 0, y)
        z = (child).forward(a, )
        return torch.cat(a, 1)
        ",
    );
    let child = "
class Child(Module):
  def forward(self: __torch__.Child,
    items: List[Tensor]) -> Tensor:
    y = torch.neg(items[-1])
    _0 = torch.append(items, y)
    return y
";
    let net = Written::new(&(root + child)).module("child", "Child");
    assert_flat(
        net,
        "
        v0 = torch.neg(v1)
        v2 = torch.neg(v0)
        v3 = torch.cat([v0, v0, v2], 1)
        return v3
        ",
    );
}

#[test]
fn a_list_is_read_as_later_arguments_leave_it() {
    let root = class(
        "Net",
        "
        a = [x]
        child = self.child
        return torch.index_copy(torch.cat(a, 1), (child).forward(a, ), torch.cat(a, 1))
        ",
    );
    let child = class(
        "Child",
        "
        _0 = torch.append(x, torch.neg(x[0]))
        return torch.exp(x[0])
        ",
    );
    let net = Written::new(&(root + &child)).module("child", "Child");
    assert_flat(
        net,
        "
        v0 = torch.cat([v1], 1)
        v2 = torch.neg(v1)
        v3 = torch.exp(v1)
        v4 = torch.cat([v1, v2], 1)
        v5 = torch.index_copy(v0, v3, v4)
        return v5
        ",
    );
}

#[test]
fn what_unfollowed_code_may_do_to_a_list_is_not_guessed() {
    let root = class(
        "Net",
        "
        a = [x]
        child = self.child
        y = (child).forward(a, )
        return torch.cat(a, 1)
        ",
    );
    let child = "
class Child(Module):
  def forward(self: __torch__.Child,
    items: List[Tensor]) -> Tensor:
    _0 = torch.append(items, items[0])
    if bool(torch.sum(items[0])):
      return items[0]
    return torch.neg(items[0])
";
    let net = Written::new(&(root + child)).module("child", "Child");
    assert_flat(
        net,
        "
        v0 = [v1]
        v2 = (self.child).forward(v0)
        v3 = torch.cat(v0, 1)
        return v3
        ",
    );
    let branch = forward(
        "
        a = [x]
        if bool(torch.sum(x)):
          _0 = torch.append(a, x)
        else:
          pass
        return torch.cat(a, 1)
        ",
    );
    let text = branch.follow(&[4, 8, 8]).unwrap();
    assert!(text.starts_with("v0 = [v1]\n"), "{text}");
    assert!(text.contains("torch.append(v0, v1)"), "{text}");
    assert!(text.ends_with("= torch.cat(v0, 1)\nreturn v3\n"), "{text}");
}

#[test]
fn lists_that_the_network_keeps_are_not_changed() {
    let net = forward("_0 = torch._set_item(self.sizes, 0, 1)\nreturn x\n");
    let sizes = Attribute::List(vec![Attribute::Int(3)]);
    assert!(net.set("sizes", sizes).follow(&[4, 8, 8]).is_err());
    let kept = forward("a = [x]\nself.kept = a\n_0 = torch.append(a, x)\nreturn torch.cat(a, 1)\n");
    assert!(kept.follow(&[4, 8, 8]).is_err());
}

#[test]
fn a_dictionary_that_code_fills_is_the_output() {
    let net = forward(
        "
        result = annotate(Dict[str, Tensor], {})
        _0 = torch._set_item(result, \"out\", x)
        _1 = torch._set_item(result, \"aux\", torch.neg(x))
        _2 = torch._set_item(result, \"out\", torch.exp(result[\"out\"]))
        return result
        ",
    )
    .network();
    let program = program(&net, &[4, 8, 8]);
    let Known::Dict(pairs) = &program.output.known else {
        panic!("{:?}", program.output);
    };
    let keys: Vec<&Known> = pairs.iter().map(|(k, _)| &k.known).collect();
    assert_eq!(keys, [&Known::Str("out".into()), &Known::Str("aux".into())]);
    assert!(pairs.iter().all(|(_, v)| v.shape().is_some()));
    let text = crate::flat(&net, &program);
    assert_eq!(
        text,
        "v0 = torch.neg(v1)\nv2 = torch.exp(v1)\nreturn annotate(Dict[str, Tensor], {\"out\": v2, \"aux\": v0})\n"
    );
}

#[test]
fn a_named_tuple_is_the_output_and_gives_its_fields() {
    let root = class(
        "Net",
        "
        pair = __torch__.Pair(torch.neg(x), aux=None)
        logits = pair.logits
        return __torch__.Pair(torch.exp(logits), pair[1])
        ",
    );
    let pair = "
class Pair(NamedTuple):
  logits : Tensor
  aux : Optional[Tensor]
";
    let net = Written::new(&(root + pair)).network();
    let program = program(&net, &[4, 8, 8]);
    let Known::Tuple(items) = &program.output.known else {
        panic!("{:?}", program.output);
    };
    assert!(items[0].shape().is_some());
    assert_eq!(items[1].known, Known::None);
    assert_eq!(
        crate::flat(&net, &program),
        "v0 = torch.neg(v1)\nv2 = torch.exp(v0)\nv3 = __torch__.Pair(v2, None)\nreturn v3\n"
    );
    let cost = ckaprune::program::cost::macs(&net, &program, 0..program.statements.len());
    assert!(cost.exact);
}

#[test]
fn a_dictionary_the_network_keeps_says_what_is_returned() {
    let net = forward(
        "
        out = torch.dict()
        names = self.names
        if torch.__contains__(names, \"layer1\"):
          torch._set_item(out, names[\"layer1\"], torch.neg(x))
        else:
          pass
        if torch.__contains__(names, \"layer2\"):
          torch._set_item(out, names[\"layer2\"], torch.exp(x))
        else:
          pass
        return out
        ",
    );
    let text = |words: &str| Attribute::Str(words.into());
    let names = Attribute::Dict(vec![(text("layer2"), text("out"))]);
    assert_flat(
        net.set("names", names),
        "
        v0 = torch.exp(v1)
        return annotate(Dict[str, Tensor], {\"out\": v0})
        ",
    );
}

#[test]
fn loops_leave_and_skip() {
    let net = forward(
        "
        kept = annotate(List[Tensor], [])
        for i in range(9):
          if torch.eq(i, 1):
            continue
          else:
            pass
          if torch.eq(i, 3):
            break
          else:
            pass
          _0 = torch.append(kept, torch.mul(x, i))
        return torch.cat(kept, 1)
        ",
    );
    assert_flat(
        net,
        "
        v0 = torch.mul(v1, 0)
        v2 = torch.mul(v1, 2)
        v3 = torch.cat(annotate(List[Tensor], [v0, v2]), 1)
        return v3
        ",
    );
}

#[test]
fn the_items_of_a_list_that_an_operator_gave_are_known_of_the_list() {
    let net = forward("return torch.chunk(x, 2, 1)\n").network();
    let program = program(&net, &[4, 8, 8]);
    let items = program.output.items().unwrap();
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|v| v.shape().is_some()));
}
