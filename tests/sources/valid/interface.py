class UsesInterface(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : NoneType
  step : __torch__.themes.Step
  steps : __torch__.torch.nn.modules.container.ModuleList
  def forward(self: __torch__.themes.UsesInterface,
    x: Tensor) -> Tensor:
    steps = self.steps
    chosen : __torch__.themes.Step = steps[1]
    step = self.step
    step0 = self.step
    _0 = (step0).forward((chosen).forward(x, ), )
    return (step).twice(_0, 3, )
class Double(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.Double,
    x: Tensor) -> Tensor:
    return torch.mul(x, 2)
  def twice(self: __torch__.themes.Double,
    x: Tensor,
    n: int) -> Tensor:
    return torch.mul(torch.mul(x, 2), n)
class Step(ModuleInterface):
  def forward(self, x: Tensor) -> Tensor:
    pass
  def twice(self, x: Tensor, n: int) -> Tensor:
    pass
