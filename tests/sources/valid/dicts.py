class Dicts(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Dicts,
    x: Tensor) -> Dict[str, Tensor]:
    empty = annotate(Dict[str, Tensor], {})
    ages = {"ann": 3, "bob": 4}
    keyed = {1: [x], 2: [x, x]}
    torch._set_item(empty, "x", x)
    if torch.__contains__(ages, "ann"):
      torch._set_item(ages, "ann", torch.add(ages["ann"], 1))
    else:
      pass
    _0 = torch.items(keyed)
    for _1 in range(torch.len(_0)):
      key, items, = _0[_1]
      _2 = items[0]
      torch._set_item(empty, str(key), _2)
    _3 = torch.keys(ages)
    for _4 in range(torch.len(_3)):
      key0 = _3[_4]
      torch._set_item(ages, key0, 0)
    lengths = annotate(Dict[str, int], {})
    _5 = ["q", "rr"]
    for _6 in range(torch.len(_5)):
      key1 = _5[_6]
      torch._set_item(lengths, key1, torch.len(key1))
    found = torch.get(empty, "y")
    if torch.__isnot__(found, None):
      _7 = torch.pop(empty, "x")
    else:
      pass
    if torch.gt(torch.len(ages), 1):
      _9 = {"a": torch.add(x, lengths["q"]), "b": x}
      _8 = _9
    else:
      _8 = empty
    return _8
