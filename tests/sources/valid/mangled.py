class Mangled(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  a : __torch__.themes.Wide
  b : __torch__.themes.___torch_mangle_0.Wide
  c : __torch__.themes.___torch_mangle_1.Wide
  def forward(self: __torch__.themes.Mangled,
    x: Tensor) -> Tensor:
    a = self.a
    b = self.b
    c = self.c
    _0 = (a).forward((b).forward((c).forward(x, ), ), )
    return _0
class Wide(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  value : int
  def forward(self: __torch__.themes.Wide,
    x: Tensor) -> Tensor:
    value = self.value
    return torch.mul(x, value)
