# For nbdsh, which has connected `h` to an export of 1 GiB; see `clients`. Asks for what the library
# would refuse to send, too: `strict` is how much of that it still checks.
import errno

MIB = 1 << 20
h.set_strict_mode(0)


def fails(code, what, *arguments, **more):
    try:
        what(*arguments, **more)
    except nbd.Error as error:
        assert error.errnum == code, f"{what.__name__} fails with {error}"
    else:
        raise AssertionError(f"{what.__name__}{arguments[1:]} works")


size = h.get_size()
assert size == 1024 * MIB
assert [h.get_block_size(kind) for kind in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED,
                                            nbd.SIZE_MAXIMUM)] == [512, 4096, 32 * MIB]
assert h.get_structured_replies_negotiated()

# What is written is read, also across chunks, at the end, by another connection, and in large.
block = bytes(range(256)) * 2
h.pwrite(block, 512)
h.pwrite(block, size - 512, nbd.CMD_FLAG_FUA)
h.flush()
assert h.pread(512, 512) == block and h.pread(512, size - 512) == block
other = nbd.NBD()
other.connect_uri(h.get_uri())
assert other.pread(512, 512) == block
large = bytes(block) * (32 * MIB // 512)
h.pwrite(large, 512 * MIB - 16 * MIB)
assert h.pread(32 * MIB, 512 * MIB - 16 * MIB) == large

# Trim and zero, with every flag: zeroes where they were asked for, and nowhere else.
at = 512 * MIB - 64 * 1024
for what, flags in ((h.zero, 0), (h.zero, nbd.CMD_FLAG_NO_HOLE),
                    (h.zero, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA),
                    (h.trim, 0), (h.trim, nbd.CMD_FLAG_FUA)):
    h.pwrite(large[:128 * 1024 + 1024], at - 512)
    what(128 * 1024, at, flags)
    assert h.pread(128 * 1024 + 1024, at - 512) == block + bytes(128 * 1024) + block, what.__name__

# Whole and in pieces, a read is the same.
pieces = {}
h.pread_structured(MIB, at, lambda data, offset, *_: pieces.update({offset: bytes(data)}))
assert b"".join(pieces[offset] for offset in sorted(pieces)) == h.pread(MIB, at)

# Hints and questions, with every flag.
h.cache(MIB, at)
about = nbd.NBD()
about.add_meta_context("base:allocation")
about.add_meta_context("x-dmnbd:map")
about.connect_uri(h.get_uri())
told = {}
for flags in (0, nbd.CMD_FLAG_REQ_ONE):
    about.block_status(MIB, at, lambda name, _, entries, __: told.update({(name, flags): entries}), flags)
assert sorted(told) == sorted((name, flags) for name in ("base:allocation", "x-dmnbd:map")
                              for flags in (0, nbd.CMD_FLAG_REQ_ONE))
assert all(len(told[name, nbd.CMD_FLAG_REQ_ONE]) == 2 for name in ("base:allocation", "x-dmnbd:map"))
if h.can_fast_zero():
    try:
        h.zero(4096, at, nbd.CMD_FLAG_FAST_ZERO)
    except nbd.Error as error:
        assert error.errnum == errno.ENOTSUP, error
about.shutdown()

# Bad requests have their own errors, and do the connection no harm.
fails(errno.EINVAL, h.pread, 512, 100)
fails(errno.EINVAL, h.pread, 100, 512)
fails(errno.EINVAL, h.pwrite, block[:100], 512)
fails(errno.EINVAL, h.pread, 512, size)
fails(errno.EINVAL, h.pread, 1024, size - 512)
fails(errno.ENOSPC, h.pwrite, block, size)
fails(errno.ENOSPC, h.pwrite, block * 2, size - 512)
fails(errno.ENOSPC, h.zero, 1024, size - 512)
fails(errno.EINVAL, h.trim, 1024, size - 512)
fails(errno.EINVAL, h.pread, 512, (1 << 64) - 512)
assert h.pread(512, 512) == block and h.pread(512, size - 512) == block

other.shutdown()
h.shutdown()
print("all well")
