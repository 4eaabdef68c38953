class Booleans(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Booleans,
    x: Tensor,
    a: bool,
    b: bool,
    n: int) -> Tensor:
    if a:
      c = torch.__not__(b)
    else:
      c = False
    if a:
      d = True
    else:
      if b:
        _0 = torch.gt(n, 2)
      else:
        _0 = False
      d = _0
    if c:
      e = n
    else:
      e = torch.neg(n)
    if d:
      f = x
    else:
      if torch.ne(e, 0):
        _1 = torch.add(x, 1)
      else:
        _1 = torch.sub(x, 1)
      f = _1
    if torch.lt(0, n):
      g = torch.le(n, 10)
    else:
      g = False
    h = torch.ne(torch.eq(n, 1), torch.eq(n, 2))
    items = [1, 2, 3]
    if torch.__contains__(items, n):
      _3 = torch.__not__(torch.__contains__([7], n))
      _2 = _3
    else:
      _2 = False
    if _2:
      f0 = torch.mul(f, 2)
    else:
      f0 = f
    if torch.eq(a, b):
      _4 = True
    else:
      _4 = h
    if _4:
      f1 = torch.div(f0, 2)
    else:
      f1 = f0
    if g:
      _5 = torch.gt(f1, 0)
      _6 = torch.bitwise_not(torch.lt(f1, 1))
      f3 = torch.to(torch.logical_and(_5, _6), 6)
      f2 = f3
    else:
      f2 = f1
    return f2
