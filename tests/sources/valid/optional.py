class Optionals(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : NoneType
  scale : Optional[float]
  weight : Optional[Tensor]
  def forward(self: __torch__.themes.Optionals,
    x: Tensor,
    mask: Optional[Tensor]=None,
    size: Optional[List[int]]=None) -> Tensor:
    _0 = uninitialized(Tensor)
    if torch.__isnot__(mask, None):
      mask1 = unchecked_cast(Tensor, mask)
      x0, mask0 = torch.mul(x, mask1), mask1
    else:
      x0, mask0 = x, mask
    if torch.__is__(size, None):
      size0 = [1, 2]
    else:
      size0 = unchecked_cast(List[int], size)
    scale = self.scale
    if torch.__isnot__(scale, None):
      scale0 = unchecked_cast(float, scale)
      x1 = torch.mul(x0, scale0)
    else:
      x1 = x0
    weight = self.weight
    if torch.__is__(weight, None):
      ops.prim.RaiseException("no weight", "builtins.ValueError")
      weight0 = _0
    else:
      weight0 = unchecked_cast(Tensor, weight)
    found: Optional[int] = None
    for i in range(size0[0]):
      if torch.eq(i, 3):
        found0 : Optional[int] = i
      else:
        found0 = found
      found = found0
    if torch.__isnot__(found, None):
      found2 = unchecked_cast(int, found)
      _1, found1 = torch.gt(found2, 1), found2
    else:
      _1, found1 = False, found
    if _1:
      found3 = unchecked_cast(int, found1)
      x2 = torch.add(x1, found3)
    else:
      x2 = x1
    if torch.__isnot__(mask0, None):
      mask2 = unchecked_cast(Tensor, mask0)
    else:
      ops.prim.RaiseException("AssertionError: ")
      mask2 = _0
    _2 = torch.add(torch.add(x2, weight0), mask2)
    return _2
