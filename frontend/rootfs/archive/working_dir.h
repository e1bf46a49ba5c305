// The working directory that an image names, where its layers have none.
#pragma once

#include <string_view>

#include "common/fd.h"

namespace userns::frontend {

// By the container's root, below `top`, and through no link: one that is behind a link, or behind
// something else than a directory, is left to be missed at the start.
void make_working_directory(const Fd& top, std::string_view path);

}  // namespace userns::frontend
