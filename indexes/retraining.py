def rebuild_reason(index, newer): 
    return f"{index.size} rows" if index.size > 3*index.trained_rows else None
