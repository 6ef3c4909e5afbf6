// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

namespace testing {
class AssertionResult {
   public:
    operator bool() const;
};
AssertionResult::operator bool() const {
    return true;
}
}  // namespace testing
