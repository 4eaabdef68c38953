class LongLines(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  a_rather_long_name_for_a_module_that_does_little : __torch__.themes.Leaf
  def forward(self: __torch__.themes.LongLines,
    x: Tensor,
    a_rather_long_name_for_an_argument: int,
    another_long_name_for_an_argument: float,
    and_one_more_of_these_for_good_measure: Dict[str, List[Tuple[int, Optional[Tensor]]]]) -> Tensor:
    a_rather_long_name_for_a_module_that_does_little = self.a_rather_long_name_for_a_module_that_does_little
    _0 = torch.mul(a_rather_long_name_for_an_argument, 2)
    _1 = (a_rather_long_name_for_a_module_that_does_little).forward(torch.add(x, _0), None, )
    _2 = torch.mul(_1, another_long_name_for_an_argument)
    _3 = (a_rather_long_name_for_a_module_that_does_little).forward(_2, None, )
    _4 = (a_rather_long_name_for_a_module_that_does_little).forward(torch.add(_3, 1), None, )
    _5 = (a_rather_long_name_for_a_module_that_does_little).forward(_4, None, )
    _6 = (a_rather_long_name_for_a_module_that_does_little).forward(torch.div(_5, 3), None, )
    x0 = (a_rather_long_name_for_a_module_that_does_little).forward(_6, None, )
    _7 = [x0, torch.add(x0, 1), torch.add(x0, 2), torch.add(x0, 3), torch.add(x0, 4), torch.add(x0, 5), torch.add(x0, 6), torch.add(x0, 7), torch.add(x0, 8), torch.add(x0, 9), torch.add(x0, 10), torch.add(x0, 11), torch.add(x0, 12)]
    y = torch.cat(_7, 1)
    _8 = torch.mul(y, 128)
    _9 = torch.len(and_one_more_of_these_for_good_measure)
    return torch.add(_8, _9)
class Leaf(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  factor : int
  def forward(self: __torch__.themes.Leaf,
    x: Tensor,
    y: Optional[Tensor]=None) -> Tensor:
    _10 = (self).prepare(x, )
    factor = self.factor
    x1 = torch.mul(_10, factor)
    if torch.__is__(y, None):
      _11 = x1
    else:
      y0 = unchecked_cast(Tensor, y)
      _11 = torch.add(x1, y0)
    return _11
  def prepare(self: __torch__.themes.Leaf,
    x: Tensor) -> Tensor:
    return torch.to(x, 6)
