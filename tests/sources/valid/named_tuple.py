class NamedTuples(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.NamedTuples,
    x: Tensor) -> __torch__.themes.Point:
    p = __torch__.themes.Point(x, torch.add(x, 1), "p")
    q = (self).swapped(p, )
    a, b, name, = q
    if bool(torch.gt(torch.sum(a), 0)):
      _0 = p
    else:
      _1 = __torch__.themes.Point(torch.add(a, (q)[1]), torch.add(b, (q)[0]), name)
      _0 = _1
    return _0
  def swapped(self: __torch__.themes.NamedTuples,
    point: __torch__.themes.Point) -> __torch__.themes.Point:
    _2 = __torch__.themes.Point((point)[1], (point)[0], torch.add((point)[2], "\'"))
    return _2
class Point(NamedTuple):
  x : Tensor
  y : Tensor
  name : str
