"""Ends with status 0 when MuJoCo can draw a picture with the backend that MUJOCO_GL names."""

import sys

from dm_control import mujoco

SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="box" size="1 1 1" rgba="1 0 0 1"/>
    <camera name="above" pos="0 0 5"/>
  </worldbody>
</mujoco>
"""


def main():
    physics = mujoco.Physics.from_xml_string(SCENE)
    red = physics.render(height=32, width=32, camera_id="above")[16, 16, 0]
    physics.free()
    return 0 if red > 100 else f"the picture of a red box has {red} of 255 red in its middle"


if __name__ == "__main__":
    sys.exit(main())
