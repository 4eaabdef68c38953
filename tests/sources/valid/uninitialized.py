class Uninitialized(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Uninitialized,
    x: Tensor,
    n: int) -> Tensor:
    _0 = uninitialized(int)
    _1 = uninitialized(Tensor)
    _2 = uninitialized(Tensor)
    _3 = False
    _4 = _1
    n0 = n
    _5 = torch.lt(n, 10)
    while _5:
      if torch.eq(n0, 4):
        _6, _7, _8, _9 = False, True, x, _0
      else:
        n1 = torch.add(n0, 1)
        _6, _7, _8, _9 = torch.lt(n1, 10), False, _1, n1
      _5, _3, _4, n0 = _6, _7, _8, _9
    if _3:
      _10 = _4
    else:
      x0 = x
      for i in range(n0):
        if torch.eq(i, 3):
          y = torch.add(x0, 1)
        else:
          ops.prim.RaiseException("no value on this path", "builtins.ValueError")
          y = _2
        x0 = y
      _10 = x0
    return _10
