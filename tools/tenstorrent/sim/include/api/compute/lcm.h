// Empty in the place of TT-Metalium's header: clang refuses it, and no kernel of this package's graph uses it.
#pragma once
