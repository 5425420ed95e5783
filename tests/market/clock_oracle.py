"""The clock, slow and obvious: Python integers, every level at every price, any public menu."""


def oracle_grid(budget, tops):
    tops = [top for top in tops if top > 0]
    if not tops:
        return [1]
    prices = [budget // sum(tops)]
    while prices[-1] * min(tops) <= budget:
        prices.append(prices[-1] + max(1, prices[-1] // 100))
    return prices


def oracle_clock(book, budget, quality, grid=None):
    """Return levels, payments and price indices; quality is one list of K + 1 for each party."""
    n = book.n
    u, kcap, d = book.u.tolist(), book.kcap.tolist(), book.d.tolist()
    dcap, kbar = book.dcap.tolist(), book.kbar.tolist()
    if grid is None:
        grid = oracle_grid(budget, [dcap[i] * quality[i][kbar[i]] for i in range(n)])
    grid = [int(price) for price in grid]

    def reply(i, price):
        best, level = None, None
        for k in range(min(kcap[i], kbar[i]) + 1):
            gain = price * quality[i][k] - u[i][k]
            if best is None or gain >= best:
                best, level = gain, k
        return level

    level = [[reply(i, price) for price in grid] for i in range(n)]
    supply = [
        [price * d[i] * quality[i][k] for price, k in zip(grid, level[i], strict=True)]
        for i in range(n)
    ]
    highest = [[max(row[: g + 1]) for g in range(len(grid))] for row in supply]
    levels, payments, index = [0] * n, [0] * n, [-1] * n
    for i in range(n):
        for g, price in enumerate(grid):
            others = sum(highest[j][g] for j in range(n) if j != i)
            if others + price * dcap[i] * quality[i][kbar[i]] <= budget:
                index[i] = g
        if index[i] >= 0:
            levels[i], payments[i] = level[i][index[i]], supply[i][index[i]]
    return levels, payments, index
