class Loops(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Loops,
    x: Tensor,
    n: int) -> Tuple[Tensor, int]:
    total = 0
    x0 = x
    for i in range(n):
      _0 = torch.__range_length(i, torch.mul(2, n), 3)
      total0 = total
      x1 = x0
      for _1 in range(_0):
        j = torch.__derive_index(_1, i, 3)
        total0, x1 = torch.add(total0, j), torch.add(x1, j)
      total, x0 = total0, x1
    x2 = x0
    total1 = total
    _2 = torch.gt(total, 0)
    while _2:
      total2 = torch.floordiv(total1, 2)
      if torch.eq(total2, 7):
        _3, _4 = False, x2
      else:
        x3 = torch.mul(x2, 2)
        _3, _4 = torch.gt(total2, 0), x3
      _2, x2, total1 = _3, _4, total2
    count = 0
    _5 = True
    while _5:
      count0 = torch.add(count, 1)
      if torch.gt(count0, 3):
        _6 = False
      else:
        _6 = True
      _5, count = _6, count0
    _7 = [1.5, 2.5]
    x4 = x2
    for _8 in range(torch.len(_7)):
      value = _7[_8]
      x4 = torch.add(x4, value)
    _9 = [9223372036854775807, torch.len(x4)]
    x5 = x4
    for index in range(ops.prim.min(_9)):
      row = torch.select(x4, 0, index)
      x6 = torch.add(x5, torch.mul(row, index))
      x5 = x6
    _10 = [1, 2, 3]
    _11 = [4, 5, 6]
    _12 = ops.prim.min([torch.len(_10), torch.len(_11)])
    total3 = total1
    for _13 in range(_12):
      a = _10[_13]
      b = _11[_13]
      total4 = torch.add(total3, torch.mul(a, b))
      total3 = total4
    return (x5, total3)
