class Attributes(Module):
  __parameters__ = ["nothing", "weight", ]
  __buffers__ = ["total", ]
  nothing : NoneType
  weight : Tensor
  total : Tensor
  training : bool
  _is_full_backward_hook : NoneType
  calls : int
  last : Optional[Tensor]
  seen : Dict[str, int]
  history : List[Tensor]
  pair : Tuple[int, str]
  def forward(self: __torch__.themes.Attributes,
    x: Tensor) -> Tensor:
    calls = self.calls
    self.calls = torch.add(calls, 1)
    calls0 = self.calls
    self.calls = torch.add(calls0, 1)
    self.last = x
    calls1 = self.calls
    seen = self.seen
    torch._set_item(seen, "x", calls1)
    history = self.history
    _0 = torch.append(history, x)
    total = self.total
    self.total = torch.add(total, torch.sum(x))
    training = self.training
    if training:
      weight = self.weight
      x0 = torch.mul(x, weight)
    else:
      x0 = x
    pair = self.pair
    return torch.add(x0, (pair)[0])
