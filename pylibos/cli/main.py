def main():
    import sys
    print(sys.argv, sys.path); return 0
