class TracedNested(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  first : __torch__.themes_data.Weighted
  second : __torch__.themes_data.___torch_mangle_0.Weighted
  third : __torch__.themes_data.___torch_mangle_1.Weighted
  skip : __torch__.themes_data.Skip
  def forward(self: __torch__.themes_data.TracedNested,
    x: Tensor) -> Tensor:
    third = self.third
    skip = self.skip
    second = self.second
    first = self.first
    _0 = (second).forward((first).forward(x, ), )
    x0 = torch.relu(_0)
    _1 = (skip).forward()
    _2 = (third).forward1((third).forward(x0, ), )
    y = torch.add(_2, (first).forward1(x0, ))
    y0 = torch.relu_(y)
    _3 = ops.prim.NumToTensor(torch.size(x0, 0))
    _4 = torch.cat([y0, torch.view(x0, [int(_3), -1])], 1)
    return _4
class Weighted(Module):
  __parameters__ = ["weight", ]
  __buffers__ = ["shift", ]
  weight : Tensor
  shift : Tensor
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Weighted,
    x: Tensor) -> Tensor:
    shift = self.shift
    weight = self.weight
    x1 = torch.add(torch.mul(x, weight), shift)
    return x1
  def forward1(self: __torch__.themes_data.Weighted,
    x: Tensor) -> Tensor:
    shift = self.shift
    weight = self.weight
    _5 = torch.add(torch.mul(x, weight), shift)
    return _5
class Skip(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Skip) -> NoneType:
    return None
