class Submodules(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  branch : __torch__.themes.Branch
  chain : __torch__.torch.nn.modules.container.___torch_mangle_0.Sequential
  def forward(self: __torch__.themes.Submodules,
    x: Tensor) -> Tensor:
    branch = self.branch
    leaf = branch.leaf
    chain = self.chain
    x0 = (leaf).forward((chain).forward(x, ), None, )
    chain0 = self.chain
    _0 = getattr(chain0, "0")
    _1 = getattr(chain0, "1")
    x1 = (_0).forward(x0, None, )
    x2 = (_1).forward(x1, )
    branch0 = self.branch
    named = branch0.named
    first = named.first
    branch1 = self.branch
    _2 = (first).prepare((branch1).forward(x2, ), )
    return _2
class Branch(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  leaf : __torch__.themes.Leaf
  leaves : __torch__.torch.nn.modules.container.ModuleList
  named : __torch__.torch.nn.modules.container.ModuleDict
  def forward(self: __torch__.themes.Branch,
    x: Tensor) -> Tensor:
    leaves = self.leaves
    _0 = getattr(leaves, "0")
    _1 = getattr(leaves, "1")
    _2 = getattr(leaves, "2")
    x3 = (_0).forward(x, None, )
    x4 = (_1).forward(x3, None, )
    x5 = (_2).forward(x4, None, )
    named = self.named
    first = named.first
    second_one = getattr(named, "second-one")
    _2nd = getattr(named, "2nd")
    x6 = torch.mul((first).forward(x5, None, ), 5)
    x7 = torch.mul((second_one).forward(x6, None, ), 10)
    x8 = torch.mul((_2nd).forward(x7, None, ), 3)
    leaves0 = self.leaves
    _11 = getattr(leaves0, "1")
    x9 = (_11).forward(x8, x8, )
    named0 = self.named
    _2nd0 = getattr(named0, "2nd")
    x10 = (_2nd0).forward(x9, None, )
    leaf = self.leaf
    leaf0 = self.leaf
    _3 = (leaf).prepare((leaf0).forward(x10, None, ), )
    return _3
class Leaf(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  factor : int
  def forward(self: __torch__.themes.Leaf,
    x: Tensor,
    y: Optional[Tensor]=None) -> Tensor:
    _2 = (self).prepare(x, )
    factor = self.factor
    x11 = torch.mul(_2, factor)
    if torch.__is__(y, None):
      _3 = x11
    else:
      y0 = unchecked_cast(Tensor, y)
      _3 = torch.add(x11, y0)
    return _3
  def prepare(self: __torch__.themes.Leaf,
    x: Tensor) -> Tensor:
    return torch.to(x, 6)
