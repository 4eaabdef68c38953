class With(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.With,
    x: Tensor) -> Tensor:
    _0 = __torch__.torch.autograd.grad_mode.no_grad.__new__(__torch__.torch.autograd.grad_mode.no_grad)
    _1 = (_0).__init__()
    with _0:
      x0 = torch.add(x, 1)
      if torch.gt(torch.dim(x0), 2):
        x1 = torch.mul(x0, 2)
      else:
        x1 = x0
    _2 = __torch__.torch.autograd.profiler.record_function.__new__(__torch__.torch.autograd.profiler.record_function)
    _3 = (_2).__init__("a \"quoted\" name", None, )
    with _2:
      y = torch.sub(x1, 1)
    return y
