"""The cameras of a simulated robot, which draw on a thread of their own.

Drawing a picture without a GPU takes several simulation steps. On the simulation's thread it would stop the clock.
"""

import threading


class Cameras:
    """Draws cameras of a scene in a thread; a state that waits gives way to a newer one.

    open_scene() is called on that thread and makes what draws: initial_state(), draw(physics_state, camera), shape
    (height, width, 3), uint8 RGB, and close(). on_frame(camera, frame, stamp) is called there as well. The constructor
    returns when every camera has drawn its first picture. It raises what kept one from drawing, and so does request.
    """

    def __init__(self, open_scene, cameras, on_frame):
        self._open_scene = open_scene
        self._cameras = tuple(cameras)
        self._on_frame = on_frame
        self._changed = threading.Condition()
        self._requested = None
        self._ready = False
        self._closing = False
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._failure is not None)
            if self._failure is not None:
                raise self._failure

    def request(self, physics_state, stamp):
        """Asks for a frame of each camera in a state. A request that is still waiting is replaced."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._requested = (physics_state, stamp)
            self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self):
        try:
            self._draw_until_closed()
        except Exception as failure:
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _draw_until_closed(self):
        # OpenGL contexts belong to a thread: everything that draws is made, used and freed on this one.
        scene = self._open_scene()
        try:
            for camera in self._cameras:
                # The first picture takes longer than the others.
                scene.draw(scene.initial_state(), camera)
            with self._changed:
                self._ready = True
                self._changed.notify_all()
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._requested is not None)
                    if self._closing:
                        return
                    (state, stamp), self._requested = self._requested, None
                for camera in self._cameras:
                    self._on_frame(camera, scene.draw(state, camera), stamp)
        finally:
            scene.close()
