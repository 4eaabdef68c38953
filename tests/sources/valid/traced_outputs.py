class TracedOutputs(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  leaf : __torch__.themes_data.TracedPair
  def forward(self: __torch__.themes_data.TracedOutputs,
    x: Tensor,
    y: Tensor) -> Tuple[Tensor, List[Tensor], Tuple[()]]:
    leaf = self.leaf
    _0, _1, _2, = (leaf).forward(x, y, )
    return (torch.add(_0, _1), [_2, _0], ())
class TracedPair(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.TracedPair,
    x: Tensor,
    y: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    x0 = torch.dropout(x, 0.5, False)
    running_mean = torch.zeros([4], dtype=None, layout=None, device=torch.device("cpu"), pin_memory=False)
    running_var = torch.ones([4], dtype=None, layout=None, device=torch.device("cpu"), pin_memory=False)
    y0 = torch.batch_norm(y, None, None, running_mean, running_var, False, 0.10000000000000001, 1.0000000000000001e-05, True)
    a = torch.add(x0, CONSTANTS.c0)
    return (a, y0, torch.sub(x0, y0))
