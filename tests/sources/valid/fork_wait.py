class Fork(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  leaf : __torch__.themes.Leaf
  def forward(self: __torch__.themes.Fork,
    x: Tensor) -> Tensor:
    pending = annotate(List[Future[Tensor]], [])
    for _0 in range(3):
      leaf = self.leaf
      def __forked_function():
        return (leaf).forward(x, None, )
      _1 = fork(__forked_function)
      _2 = torch.append(pending, _1)
    def __forked_function0():
      _3 = __torch__.themes.scaled(x, 2., -1, "none", None, )
      return _3
    first = fork(__forked_function0)
    results = annotate(List[Tensor], [])
    for _4 in range(torch.len(pending)):
      p = pending[_4]
      _5 = torch.append(results, torch.wait(p))
    _6 = torch.add(torch.wait(first), results[0])
    return _6
class Leaf(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  factor : int
  def forward(self: __torch__.themes.Leaf,
    x: Tensor,
    y: Optional[Tensor]=None) -> Tensor:
    _7 = (self).prepare(x, )
    factor = self.factor
    x0 = torch.mul(_7, factor)
    if torch.__is__(y, None):
      _8 = x0
    else:
      y0 = unchecked_cast(Tensor, y)
      _8 = torch.add(x0, y0)
    return _8
  def prepare(self: __torch__.themes.Leaf,
    x: Tensor) -> Tensor:
    return torch.to(x, 6)
def scaled(x: Tensor,
    factor: float=1.5,
    shift: int=-1,
    name: str="none",
    flags: Optional[List[bool]]=None) -> Tensor:
  if torch.eq(name, "none"):
    _9 = torch.__is__(flags, None)
  else:
    _9 = False
  if _9:
    _10 = torch.mul(x, factor)
  else:
    _11 = torch.add(torch.mul(x, factor), shift)
    _10 = _11
  return _10
