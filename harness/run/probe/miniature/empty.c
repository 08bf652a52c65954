/* An object that defines nothing, as one whose code is configured away. */
