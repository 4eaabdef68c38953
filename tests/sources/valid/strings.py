class Strings(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Strings,
    x: Tensor,
    name: str) -> List[str]:
    _0 = "def forward(self):\n    return \"x\""
    long = "a text of more than eighty characters is long enough for the printer to treat it as one of the long ones"
    escapes = ["line\nfeed", "tab\t", "return\r", "back\\slash", "bell\a", "form\f", "vertical\v", "back\b", "\033"]
    letters = [CONSTANTS.c0, CONSTANTS.c1, CONSTANTS.c2, CONSTANTS.c3, "\177", CONSTANTS.c4]
    brackets = ["\\\" # not a comment: ([", "{braces} {} %s %d", "ends with a backslash\\", "", "\'\'\'", "\"\"\""]
    if torch.eq(name, _0):
      _1 = torch.add(escapes, letters)
    else:
      _2 = torch.add(torch.upper(name), torch.slice(name, 1, 3))
      _3 = torch.add(torch.add(_2, name[-1]), torch.replace(name, "\'", "\""))
      _4 = ["double \" and single \' quote", "null\000 end", long, _3]
      _1 = torch.add(brackets, _4)
    return _1
