def measure_crossover(dimension: int) -> int:
    return 50_000
