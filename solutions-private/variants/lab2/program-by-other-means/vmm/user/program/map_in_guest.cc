// SPDX-License-Identifier: MIT
#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

/// Reads `size` bytes to `to`.
std::int64_t fill(std::int64_t file, std::uint64_t to, std::uint64_t size) {
    while (size > 0) {
        const auto bytes = read(file, {reinterpret_cast<std::byte*>(to), size});
        if (bytes == 0) return error(Failure::bad_format);
        if (bytes < 0) return bytes;
        to += static_cast<std::uint64_t>(bytes);
        size -= static_cast<std::uint64_t>(bytes);
    }
    return 0;
}

}  // namespace

std::int64_t map_in_guest(std::int64_t guest, std::uint64_t gpa, std::uint64_t memsz,
                          std::int64_t file, std::uint64_t filesz, std::uint64_t offset,
                          std::uint64_t perm) {
    if (memsz < filesz || gpa + memsz < gpa || offset + filesz < offset)
        return error(Failure::invalid_argument);
    if (filesz > 0)
        if (const auto answer = seek(file, offset); answer < 0) return answer;
    while (memsz > 0) {
        const std::uint64_t in_page = gpa % page_size;
        const std::uint64_t room = page_size - in_page;
        const std::uint64_t part = memsz < room ? memsz : room;
        const std::uint64_t from_file = filesz < part ? filesz : part;
        auto answer = system_call(Number::page_alloc, utemp, right_all);
        if (answer >= 0) answer = fill(file, utemp + in_page, from_file);
        if (answer >= 0) answer = sys_ept_map(env_id(), utemp, guest, gpa - in_page, perm);
        system_call(Number::page_unmap, utemp);
        if (answer < 0) return answer;
        gpa += part;
        memsz -= part;
        filesz -= from_file;
    }
    return 0;
}

}  // namespace user
