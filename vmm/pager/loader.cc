// SPDX-License-Identifier: MIT
#include "vmm/pager/loader.hh"

#include <algorithm>

namespace vmm {

Loader Loader::zeros(Gpa begin, Gpa end) {
    return {begin, end, Zeros{}};
}

Loader Loader::bytes_of(kern::File file, std::uint64_t offset, Gpa begin, Gpa end) {
    return {begin, end, FileBytes{file, offset}};
}

Loader Loader::call(Gpa gpa, PageLoader loader) {
    return {gpa, gpa + page_size, loader};
}

Loader Loader::cut_to(Gpa begin, Gpa end) const {
    Loader part{begin, end, source_};
    if (auto* bytes = std::get_if<FileBytes>(&part.source_)) bytes->offset += begin - begin_;
    return part;
}

std::expected<void, Error> Loader::fill(Gpa page, std::span<std::byte, page_size> frame) const {
    if (const auto* call = std::get_if<PageLoader>(&source_)) {
        if (!call->fill(call->context, page, frame)) return std::unexpected(Error::DeviceFailure);
        return {};
    }
    const auto* bytes = std::get_if<FileBytes>(&source_);
    const Gpa first = std::max(begin_, page);
    const Gpa last = std::min(end_, page + page_size);
    if (!bytes || first >= last) return {};

    auto read = bytes->file.read(bytes->offset + (first - begin_),
                                 frame.subspan(first - page, last - first));
    if (!read) return std::unexpected(read.error());
    if (*read < last - first) return std::unexpected(Error::ShortRead);
    return {};
}

}  // namespace vmm
