"""What a server opens on a ring of clients when it says who is gone."""


def near(place, n, half):
    """The places that are joined to ``place``."""
    return [(place + step) % n for step in range(-half, half + 1) if step]


def components(places, n, half):
    """The connected pieces of the ring's graph on ``places``."""
    left = set(places)
    while left:
        piece, edge = set(), {left.pop()}
        while edge:
            place = edge.pop()
            piece.add(place)
            found = left.intersection(near(place, n, half))
            left -= found
            edge |= found
        yield piece


def opened_alone(n, neighbors, threshold, corrupt, gone):
    """The honest survivors, piece by piece, whose sum opens without all the others'.

    Pairwise masks cancel within a piece or are the server's to take off: those with corrupt clients
    it knows, those with clients who are gone it has opened. What keeps a piece shut is one self
    mask of which fewer than ``threshold`` survivors hold a share, the owner among them.
    """
    half = neighbors // 2
    honest = set(range(n)) - corrupt - gone
    pieces = list(components(honest, n, half))

    def opens(place):
        return 1 + sum(other not in gone for other in near(place, n, half)) >= threshold

    return [piece for piece in pieces if len(pieces) > 1 and all(map(opens, piece))]


def cut_out(n, neighbors, threshold, corrupt, lengths):
    """Find a stretch of honest clients that the server can sum alone: -> (stretch, gone) or None.

    The clients for half the neighbours on either side are said to be gone; all masks with them must
    open, so that each of them needs ``threshold`` neighbours who stay.
    """
    half = neighbors // 2
    for length in lengths:
        for start in range(n):
            inside = [(start + i) % n for i in range(length)]
            gone = {
                place
                for i in range(1, half + 1)
                for place in ((start - i) % n, (start + length - 1 + i) % n)
                if place not in corrupt
            }

            def left(place, gone=gone):
                return sum(other not in gone for other in near(place, n, half))

            honest = set(inside) - corrupt
            if all(1 + left(place) >= threshold for place in honest) and all(
                left(place) >= threshold for place in gone
            ):
                return honest, gone
    return None
