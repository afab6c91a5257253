def markdown(d): return ""
def html(d): return ""
