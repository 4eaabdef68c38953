class Functions(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Functions,
    x: Tensor) -> Tensor:
    _0 = __torch__.themes.scaled(x, 1.5, -1, "none", None, )
    _1 = __torch__.themes.scaled(x, 2., -1, "other", [True, False], )
    _2 = __torch__.themes.counted([x, _0, _1], )
    n, y, = _2
    _3 = __torch__.themes.nothing(y, )
    print("n is", n, y)
    _4 = (self).helper(y, 3, )
    _5 = torch.mul(__torch__.themes.fixed(y, ), n)
    _6 = torch.add(_4, _5)
    _7 = (self).exported(x, (3, 0.001), 0.001, "c", )
    return torch.add(_6, _7[0])
  def exported(self: __torch__.themes.Functions,
    x: Tensor,
    pair: Tuple[int, float]=(1, -2.),
    scale: float=1.0000000000000001e-05,
    name: str="a\"b") -> List[int]:
    _8 = "This Python function is annotated to be ignored and cannot be run"
    _9 = uninitialized(Tensor)
    if torch.eq((pair)[0], 5):
      ops.prim.RaiseException(_8)
      x0 = _9
    else:
      x0 = x
    return [torch.size(x0, 0), (pair)[0]]
  def helper(self: __torch__.themes.Functions,
    x: Tensor,
    power: int) -> Tensor:
    return torch.pow(x, power)
def scaled(x: Tensor,
    factor: float=1.5,
    shift: int=-1,
    name: str="none",
    flags: Optional[List[bool]]=None) -> Tensor:
  if torch.eq(name, "none"):
    _10 = torch.__is__(flags, None)
  else:
    _10 = False
  if _10:
    _11 = torch.mul(x, factor)
  else:
    _12 = torch.add(torch.mul(x, factor), shift)
    _11 = _12
  return _11
def counted(items: List[Tensor]) -> Tuple[int, Tensor]:
  _13 = (torch.len(items), torch.stack(items))
  return _13
def nothing(x: Tensor) -> NoneType:
  _14 = torch.add_(x, 1)
  return None
def fixed(x: Tensor) -> Tensor:
  return torch.sub(x, 4)
