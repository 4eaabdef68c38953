class Lists(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Lists,
    x: Tensor) -> List[List[int]]:
    empty = annotate(List[Tensor], [])
    numbers = [1, 2, 3]
    nested = [[1], [2, 3], annotate(List[int], [])]
    floats = annotate(List[float], [])
    _0 = torch.append(floats, 1.)
    optionals = annotate(List[Optional[Tensor]], [x, None])
    strings = ["a", "b"]
    torch.extend(numbers, [4, 5])
    torch.sort(numbers)
    last = torch.pop(numbers)
    torch.Delete(numbers, 0)
    squares = annotate(List[int], [])
    for _1 in range(torch.len(numbers)):
      n = numbers[_1]
      _2 = torch.append(squares, torch.mul(n, n))
    shapes = annotate(List[int], [])
    _3 = [x, x]
    for _4 in range(torch.len(_3)):
      t = _3[_4]
      _5 = torch.append(shapes, torch.size(t, 0))
    a, b, = [1, 2]
    _6 = torch.append(empty, x)
    if torch.gt(torch.len(empty), 1):
      _7 = torch.eq(strings[0], "a")
    else:
      _7 = False
    if _7:
      _8 = torch.__is__(optionals[1], None)
    else:
      _8 = False
    if _8:
      _9 = torch.add(torch.slice(squares, 1, -1), shapes)
      _10 = torch.add(_9, [last, a, b, int(floats[0])])
      _11 = torch.append(nested, _10)
    else:
      pass
    return nested
